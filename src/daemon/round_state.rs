//! What the rounds remember, and when the next one starts (invariants H4, T5). It sends no request to the metadata service; it does
//! write the requests to root's units.

use std::time::Duration;

use tokio::time::Instant;

use crate::daemon::boot_tasks::BootTasks;
use crate::daemon::host_key_requests::HostKeyRequests;
use crate::daemon::observer::Observer;
use crate::daemon::ssh_key_requests::SshKeyRequests;
use crate::daemon::wait::WakeReason;
use crate::host_keys::paths::HostKeyPaths;
use crate::host_keys::store::served::LocalKeys;
use crate::metadata::api::refusal::Refusal;
use crate::metadata::error::{ErrorKind, MetadataError};
use crate::metadata::retry::backoff::{Budget, Failure, MAX_WAIT, Retry, RetryDecision};
use crate::metadata::retry::pace::Pace;
use crate::scripts::paths::SetupPaths;
use crate::settings::Settings;
use crate::status::document::Status;
use crate::util::random;

/// The first wait while the served keys are not known. It is doubled each time: the host-keys units may be masked.
const MIN_SERVED_KEYS_WAIT: Duration = Duration::from_secs(5);

/// Scripts are looked for in one round of this many, if it was not done for [`MAX_SCRIPTS_WAIT`].
const ROUNDS_PER_LOOK_AT_SCRIPTS: u32 = 16;
const MAX_SCRIPTS_WAIT: Duration = Duration::from_secs(15 * 60);

/// What the task remembers from one round to the next.
pub(crate) struct RoundState {
    pub(crate) observer: Observer,
    pub(crate) boot_tasks: BootTasks,
    pub(crate) ssh_keys: SshKeyRequests,
    requests: HostKeyRequests,
    retry: Retry,
    random: fastrand::Rng,
    /// Whether the last round failed.
    failed: bool,
    /// Whether the last round failed because the metadata service was unreachable.
    pub(crate) unreachable: bool,
    /// Until when the service wants no request, as it said in its last refusal.
    refused_until: Option<Instant>,
    /// The maximum wait while the served keys are not known.
    served_keys_wait: Duration,
    /// The wait after a round in which nothing is left to do.
    pace: Pace,
    /// When scripts were last looked for; `None` makes it due.
    last_look_at_scripts: Option<Instant>,
    rounds_without_scripts: u32,
}

impl RoundState {
    /// Nothing was done yet.
    pub(crate) fn new() -> Self {
        Self {
            observer: Observer::default(),
            boot_tasks: BootTasks::default(),
            ssh_keys: SshKeyRequests::default(),
            requests: HostKeyRequests::new(),
            retry: Retry::new(Budget::Unlimited),
            random: random::generator(),
            failed: false,
            unreachable: false,
            refused_until: None,
            served_keys_wait: MIN_SERVED_KEYS_WAIT,
            pace: Pace::default(),
            last_look_at_scripts: None,
            rounds_without_scripts: 0,
        }
    }

    /// The settings were reloaded, which is a reason to check everything again.
    pub(crate) fn check_everything(&mut self) {
        self.observer.reset_backoff();
        self.boot_tasks.restart();
        self.ssh_keys.restart();
        self.last_look_at_scripts = None;
    }

    /// After a network event, the retry delay starts small again: a new route may need a moment until it works.
    pub(crate) fn note_wake_up(&mut self, reason: &WakeReason) {
        if *reason == WakeReason::Network {
            self.retry.reset();
        }
    }

    /// Whether the service wants no request now.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused_until.is_some_and(|until| Instant::now() < until)
    }

    /// Whether this round looks for new and changed scripts. A round that was only asked for is not counted, but many
    /// questions must not delay the look.
    pub(crate) fn is_time_for_scripts(&mut self, is_scheduled: bool) -> bool {
        self.rounds_without_scripts += u32::from(is_scheduled);
        let is_time = self.rounds_without_scripts >= ROUNDS_PER_LOOK_AT_SCRIPTS
            || self.last_look_at_scripts.is_none_or(|last| last.elapsed() >= MAX_SCRIPTS_WAIT);
        if is_time {
            self.rounds_without_scripts = 0;
            self.last_look_at_scripts = Some(Instant::now());
        }
        is_time
    }

    /// Sends the requests to the host-keys units that are due. Returns when the next one is due.
    pub(crate) fn send_host_key_requests(&mut self, paths: &HostKeyPaths) -> Option<Instant> {
        let next = self.requests.send(paths, self.observer.root_can_query_instance());
        if self.requests.take_new_files() {
            self.ssh_keys.note_new_configuration();
        }
        next
    }

    /// Whether the unit of root's keys would get an answer, and use it: the host-keys units have confirmed which Instance this is.
    pub(crate) fn can_ask_for_ssh_keys(&self, status: &Status, paths: &HostKeyPaths) -> bool {
        let known = status.instance.as_ref().map(|instance| &instance.id);
        let is_confirmed = |keys: LocalKeys| keys.instance.as_ref() == known;
        !self.unreachable && known.is_some() && LocalKeys::read(&paths.served).is_some_and(is_confirmed)
    }

    /// Records the result of a round (whether the served keys are known; whether the right value was published when
    /// it was last read), and requests the setup runner if that is due. Returns how long to wait until the next
    /// round.
    ///
    /// If the round was only `asked` for, before its time, and the last one failed, too, then that time stays. Otherwise
    /// many questions would soon make the retry delay an hour long.
    pub(crate) fn finish_round(
        &mut self,
        asked: Option<Instant>,
        result: &Result<bool, MetadataError>,
        is_published: bool,
        setup: &SetupPaths,
        settings: &Settings,
    ) -> Duration {
        if result.is_err() {
            // What the round did not come to is due in the next one.
            self.last_look_at_scripts = None;
        }
        let requested_wait = result.as_ref().err().and_then(MetadataError::retry_after);
        self.refused_until = requested_wait.map(|wait| Instant::now() + wait.min(MAX_WAIT));
        if let Some(scheduled) = asked.filter(|_| result.is_err() && self.failed) {
            return scheduled.saturating_duration_since(Instant::now());
        }
        if result.as_ref().is_err_and(MetadataError::is_locked) {
            self.observer.defer_to_root(setup);
        }
        if std::mem::replace(&mut self.failed, result.is_err()) && !self.failed {
            self.observer.reset_backoff();
        }
        // Even if publishing failed, it may be known whether there are scripts.
        let runner_wait = self.observer.request_runner(setup, settings.setup.outcome_key.is_some());
        let wait = self.next_wait(result, is_published, runner_wait, settings.check_interval);
        let unreachable = result.as_ref().is_err_and(|why| why.kind() == ErrorKind::Unreachable);
        if self.unreachable && !unreachable {
            self.requests.repeat_soon();
        }
        self.unreachable = unreachable;
        wait
    }

    /// How long to wait until the next round: `check_interval` at most after a successful round.
    fn next_wait(
        &mut self,
        result: &Result<bool, MetadataError>,
        is_published: bool,
        runner_wait: Option<Duration>,
        check_interval: Duration,
    ) -> Duration {
        match result {
            Ok(keys_known) => {
                self.retry.reset();
                // The host-keys units will soon write what sshd serves; until then the metadata service is not queried.
                let keys_wait = if *keys_known { check_interval } else { self.served_keys_wait };
                let next = if *keys_known { MIN_SERVED_KEYS_WAIT } else { self.served_keys_wait * 2 };
                self.served_keys_wait = next.min(check_interval);
                let wait = runner_wait.unwrap_or(check_interval).min(keys_wait);
                if wait >= check_interval {
                    self.pace.after_success(check_interval, &mut self.random)
                } else {
                    // Varied by a fifth, so that Instances that were started together do not stay in step.
                    wait.mul_f64(0.8 + 0.4 * self.random.f64()).min(check_interval)
                }
            }
            // Nothing is known to be wrong, so there is no hurry.
            Err(MetadataError::Refused(Refusal::TooManyRequests(asked)))
                if is_published && self.observer.knows_scripts() =>
            {
                self.pace.after_refusal(check_interval, *asked, &mut self.random)
            }
            Err(why) => {
                self.pace.note_failure();
                match self.retry.decide(Failure::of(why), &mut self.random) {
                    RetryDecision::Wait(wait) => wait,
                    RetryDecision::GiveUp => check_interval,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Result<bool, MetadataError> {
        Err(MetadataError::Refused(Refusal::ServerError(503, None)))
    }

    #[tokio::test(start_paused = true)]
    async fn h4_questions_do_not_delay_the_look_at_scripts() {
        let mut state = RoundState::new();
        assert!(state.is_time_for_scripts(true), "the first round");
        let start = Instant::now();
        while !state.is_time_for_scripts(false) {
            assert!(start.elapsed() < MAX_SCRIPTS_WAIT, "questions delay it");
            tokio::time::advance(Duration::from_secs(20)).await;
        }
        assert_eq!(start.elapsed(), MAX_SCRIPTS_WAIT);
        let scheduled = (1..).find(|_| state.is_time_for_scripts(true));
        assert_eq!(scheduled, Some(ROUNDS_PER_LOOK_AT_SCRIPTS));
    }

    #[tokio::test(start_paused = true)]
    async fn h4_failed_question_leaves_the_look_at_scripts_due() {
        let (setup, settings) = (SetupPaths::default(), Settings::default());
        let mut state = RoundState::new();
        for asked in [None, Some(Instant::now() + Duration::from_secs(60)), None] {
            assert!(state.is_time_for_scripts(asked.is_none()), "{asked:?}");
            state.finish_round(asked, &failed(), false, &setup, &settings);
        }
    }
}

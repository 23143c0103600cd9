//! The task that does the daemon's periodic work in rounds, with a wait between two rounds.
//!
//! A round requests the host-keys units, learns which Instance this is ([`crate::daemon::observer`]), publishes the
//! fingerprints if they are not published ([`publisher`]), learns whether there are scripts, and requests the setup
//! runner. After a successful round,
//! the next one starts a quarter of an hour later. After a failed round, the retry policy decides when. A changed
//! key starts a round at any time; a new address or route does while the service is unreachable (invariant T6).

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::daemon::heartbeat::Heartbeat;
use crate::daemon::host_key_requests::HostKeyRequests;
use crate::daemon::key_watch::KeyWatch;
use crate::daemon::metadata_task::QUEUE_LENGTH;
use crate::daemon::network::NetworkEvents;
use crate::daemon::observer::Observer;
use crate::daemon::publisher;
use crate::daemon::shared_status::SharedStatus;
use crate::host_keys::paths::HostKeyPaths;
use crate::metadata::api::response::Ask;
use crate::metadata::error::{ErrorKind, MetadataError};
use crate::metadata::retry::backoff::{Budget, Failure, Retry, RetryDecision};
use crate::scripts::model::settings::OnChange;
use crate::scripts::paths::SetupPaths;
use crate::settings::Settings;
use crate::status::states::Platform;
use crate::util::random;

/// How often in a row network events may start a round at once and reset the retry delay…
const MAX_NETWORK_WAKEUPS: u32 = 20;
/// …and after how long one more of them is allowed: containers may change routes all day long.
const WAKEUP_REFILL_INTERVAL: Duration = Duration::from_secs(600);

/// The first wait while the served keys are not known. It is doubled each time: the host-keys units may be masked.
const MIN_SERVED_KEYS_WAIT: Duration = Duration::from_secs(5);

/// The paths that the rounds use, and the settings.
pub(crate) struct RoundInputs<'a> {
    /// The keys, and the files that the daemon and the host-keys units exchange.
    pub(crate) host_keys: &'a HostKeyPaths,
    pub(crate) setup: &'a SetupPaths,
    pub(crate) settings: watch::Receiver<Settings>,
    pub(crate) heartbeat: Heartbeat,
}

/// Does the rounds. Runs until it is dropped.
pub(crate) async fn run(mut api: impl Ask, shared_status: SharedStatus, mut inputs: RoundInputs<'_>) {
    let mut state = RoundState::new();
    let mut waiting = Waiting::new(inputs.host_keys);
    loop {
        let settings = inputs.settings.borrow_and_update().clone();
        // Each request of a round may find the queue full.
        inputs.heartbeat.set_due_within(settings.limits.total * 2 * QUEUE_LENGTH);
        let is_instance = shared_status.read().platform == Platform::Instance;
        let result = match shared_status.read().platform {
            Platform::Instance => {
                state.send_host_key_requests(inputs.host_keys);
                round(&mut api, &shared_status, &inputs, &mut state.observer).await
            }
            // Nothing is queried and nothing is published, but the status shows the keys.
            Platform::NotAnInstance { .. } => {
                Ok(publisher::report_keys(&shared_status, inputs.host_keys).is_some())
            }
        };
        let wait = state.finish_round(&result, inputs.setup, &settings);
        inputs.heartbeat.set_due_within(wait);
        let until = Instant::now() + wait;
        // Kept while requests are sent: a network event that it has begun to read must not be lost.
        let mut waited = pin!(waiting.wait(until, state.unreachable));
        loop {
            let request_due = if is_instance { state.send_host_key_requests(inputs.host_keys) } else { None };
            tokio::select! {
                reason = &mut waited => {
                    if reason == WakeReason::Network {
                        // A new route may need a moment until it works, so the retry delay starts small again.
                        state.retry.reset();
                    }
                    break;
                }
                // A reload is a reason to check everything again.
                Ok(()) = inputs.settings.changed() => {
                    state.observer.reset_backoff();
                    break;
                }
                // Only sends the request that is due; the next round is not due yet.
                () = sleep_until(request_due.unwrap_or(until)), if request_due.is_some() => {}
            }
        }
    }
}

/// What the task remembers from one round to the next.
struct RoundState {
    observer: Observer,
    requests: HostKeyRequests,
    retry: Retry,
    random: fastrand::Rng,
    /// Whether the last round failed.
    failed: bool,
    /// Whether the last round failed because the metadata service was unreachable.
    unreachable: bool,
    /// The maximum wait while the served keys are not known.
    served_keys_wait: Duration,
}

impl RoundState {
    fn new() -> Self {
        Self {
            observer: Observer::default(),
            requests: HostKeyRequests::new(),
            retry: Retry::new(Budget::Unlimited),
            random: random::generator(),
            failed: false,
            unreachable: false,
            served_keys_wait: MIN_SERVED_KEYS_WAIT,
        }
    }

    /// Sends the requests to the host-keys units that are due. Returns when the next one is due.
    fn send_host_key_requests(&mut self, paths: &HostKeyPaths) -> Option<Instant> {
        self.requests.send(paths, self.observer.root_can_query_instance())
    }

    /// Records the result of a round (whether the served keys are known), and requests the setup runner if that is
    /// due. Returns how long to wait until the next round.
    fn finish_round(
        &mut self,
        result: &Result<bool, MetadataError>,
        setup: &SetupPaths,
        settings: &Settings,
    ) -> Duration {
        if result.as_ref().is_err_and(MetadataError::is_locked) {
            self.observer.defer_to_root(setup);
        }
        if std::mem::replace(&mut self.failed, result.is_err()) && !self.failed {
            self.observer.reset_backoff();
        }
        // Even if publishing failed, it may be known whether there are scripts.
        let runner_wait = self.observer.request_runner(setup, settings.setup.outcome_key.is_some());
        let wait = self.next_wait(result, runner_wait, settings.check_interval);
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
                let wait = runner_wait.unwrap_or(check_interval).min(keys_wait).min(check_interval);
                // Varied by a fifth, so that Instances that were started together do not stay in step.
                wait.mul_f64(0.8 + 0.4 * self.random.f64())
            }
            Err(why) => match self.retry.decide(Failure::of(why), &mut self.random) {
                RetryDecision::Wait(wait) => wait,
                RetryDecision::GiveUp => check_interval,
            },
        }
    }
}

/// One round. Returns whether the host-keys units have written which keys sshd serves.
async fn round(
    api: &mut impl Ask,
    shared_status: &SharedStatus,
    inputs: &RoundInputs<'_>,
    observer: &mut Observer,
) -> Result<bool, MetadataError> {
    // First the Instance: without it, it is not known whose keys these are.
    let learned = observer.learn_instance(api, shared_status).await;
    if let Err(why) = &learned {
        publisher::report_keys(shared_status, inputs.host_keys);
        if why.kind() == ErrorKind::Unreachable {
            shared_status.set_not_published(why);
        }
        // If the service answers but the answer is unusable, this is reported once, and not for the fingerprints, too.
        shared_status.set_answers_usable(&learned);
        return learned.map(|()| false);
    }
    let published = publisher::update(api, shared_status, inputs.host_keys).await;
    if let Err(why) = &published {
        shared_status.set_not_published(why);
        if why.kind() == ErrorKind::Unreachable {
            return published;
        }
    }
    // A service that refuses to store a value may still answer other requests.
    let settings = inputs.settings.borrow().setup.clone();
    let mut observed = observer.list_scripts(api, shared_status, settings.outcome_key.as_ref()).await;
    let watch_scripts = settings.on_change == OnChange::Now;
    if watch_scripts && observed.is_ok() {
        observed = observer.request_changed_scripts(api, shared_status, inputs.setup).await;
    }
    shared_status.set_answers_usable(&observed);
    observed.and(published)
}

/// What ended a wait.
#[derive(PartialEq, Eq)]
enum WakeReason {
    Time,
    Network,
    Keys,
}

/// The wait between two rounds, which network events and key changes can end early.
struct Waiting<'a> {
    paths: &'a HostKeyPaths,
    /// `None` if there is no key folder yet or no watch is possible: then only the time ends the wait.
    keys: Option<KeyWatch>,
    /// Open only while the service is unreachable: otherwise route changes should not wake the machine.
    network: Option<NetworkEvents>,
    /// How many network events may still end a wait.
    network_wakeups: u32,
    last_refill: Instant,
}

impl<'a> Waiting<'a> {
    /// Subscribes before the first round, so that no event is missed while that round fails.
    fn new(paths: &'a HostKeyPaths) -> Self {
        let keys = KeyWatch::new(paths).ok();
        Self {
            paths,
            keys,
            network: subscribe(),
            network_wakeups: MAX_NETWORK_WAKEUPS,
            last_refill: Instant::now(),
        }
    }

    async fn wait(&mut self, until: Instant, unreachable: bool) -> WakeReason {
        self.refill();
        if !unreachable || self.network_wakeups == 0 {
            self.network = None;
        } else if self.network.is_none() {
            self.network = subscribe();
        }
        if self.keys.as_ref().is_none_or(|watch| !watch.is_complete) {
            self.keys = KeyWatch::new(self.paths).ok();
        }
        let (reason, result) = tokio::select! {
            () = sleep_until(until) => return WakeReason::Time,
            result = next_event(&mut self.network, async |network| network.next().await) => (WakeReason::Network, result),
            result = next_event(&mut self.keys, async |keys| keys.next().await) => (WakeReason::Keys, result),
        };
        if let Err(why) = result {
            tracing::warn!("lost kernel notifications; falling back to polling: {why}");
            (self.network, self.keys) = (None, None);
            sleep_until(until).await;
            return WakeReason::Time;
        }
        match reason {
            WakeReason::Network => self.network_wakeups -= 1,
            // The folder itself may have been replaced: watch the current one.
            _ => self.keys = KeyWatch::new(self.paths).ok(),
        }
        reason
    }

    /// Allows one more network event for each interval that has passed.
    fn refill(&mut self) {
        let allowed = self.last_refill.elapsed().as_secs() / WAKEUP_REFILL_INTERVAL.as_secs();
        if allowed > 0 {
            self.last_refill = Instant::now();
            self.network_wakeups = self
                .network_wakeups
                .saturating_add(u32::try_from(allowed).unwrap_or(u32::MAX))
                .min(MAX_NETWORK_WAKEUPS);
        }
    }
}

/// Waits for the next event of a source; without a source, for ever.
async fn next_event<T>(
    source: &mut Option<T>,
    next: impl AsyncFnOnce(&mut T) -> io::Result<()>,
) -> io::Result<()> {
    match source {
        Some(source) => next(source).await,
        None => std::future::pending().await,
    }
}

fn subscribe() -> Option<NetworkEvents> {
    NetworkEvents::subscribe()
        .inspect_err(|why| tracing::info!("cannot subscribe to network events; retrying on a timer: {why}"))
        .ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::metadata::api::request::Request;
    use crate::metadata::api::response::Response;
    use crate::metadata::error::TransportError;
    use crate::system::requests::RequestFolder;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// A metadata service that is never reachable.
    struct UnreachableService {
        shared_status: SharedStatus,
        requests: u32,
    }

    impl Ask for &mut UnreachableService {
        async fn ask(&mut self, _: Request) -> Result<Response, TransportError> {
            self.requests += 1;
            let why = TransportError::NotConnected(vec![]);
            self.shared_status.set_not_reached(&why.to_string());
            Err(why)
        }
    }

    /// Counts the log lines.
    #[derive(Clone, Default)]
    struct LogLines(std::sync::Arc<std::sync::atomic::AtomicU32>);

    impl tracing::Subscriber for LogLines {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, _: &tracing::Event<'_>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }

    fn cpu_time() -> Duration {
        let text = fs::read_to_string("/proc/thread-self/schedstat").expect("read");
        Duration::from_nanos(
            text.split(' ').next().and_then(|first| first.parse().ok()).expect("nanoseconds"),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn t5_unreachable_month_costs_almost_nothing() {
        let log_lines = LogLines::default();
        let _counting = tracing::subscriber::set_default(log_lines.clone());
        // One key, so that there is something to publish.
        let folder = std::env::temp_dir().join(format!("scw-agent-month-{:x}", random::generator().u64(..)));
        fs::create_dir_all(folder.join("requests")).expect("made");
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB x";
        fs::write(folder.join("ssh_host_ed25519_key"), "private").expect("written");
        fs::write(folder.join("ssh_host_ed25519_key.pub"), key).expect("written");

        let shared_status = SharedStatus::new();
        let mut service = UnreachableService { shared_status: shared_status.clone(), requests: 0 };
        let setup = SetupPaths::default();
        let paths = HostKeyPaths {
            keys: folder.clone(),
            requests: RequestFolder { requests: folder.join("requests"), pending: folder.join("pending") },
            served: folder.join("served"),
            root: folder.clone(),
            ..HostKeyPaths::default()
        };
        let (_settings, settings) = watch::channel(Settings::default());
        let inputs =
            RoundInputs { host_keys: &paths, setup: &setup, settings, heartbeat: Heartbeat::new("rounds") };
        let before = cpu_time();
        let month = tokio::time::timeout(30 * DAY, run(&mut service, shared_status, inputs)).await;
        assert!(month.is_err(), "it never returns");
        let (requests, logged) = (service.requests, log_lines.0.load(std::sync::atomic::Ordering::Relaxed));
        println!(
            "30 days unreachable: {requests} requests, {logged} log lines, {:?} of CPU time",
            cpu_time() - before
        );
        // About an hour apart, once the retry delay has grown.
        assert!((700..1600).contains(&requests), "{requests} tries");
        assert_eq!(logged, 1);
        fs::remove_dir_all(folder).expect("removed");
    }
}

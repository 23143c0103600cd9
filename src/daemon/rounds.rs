//! The task that does the daemon's periodic work in rounds, with a wait between two rounds.
//!
//! A round requests the host-keys units, learns which Instance this is ([`crate::daemon::observer`]), publishes the
//! fingerprints if they are not published ([`publisher`]), learns whether there are scripts, requests the setup
//! runner, and does what is due once in a boot ([`crate::daemon::boot_tasks`]). After a successful round, the next one starts 40 to 55 seconds later, and usually sends one small
//! request: a read of the published value. Scripts are looked for in one of sixteen rounds. After a failed round,
//! the retry policy decides when the next one starts. A changed key starts a round at any time, and so do a
//! request for the status and an answer that contradicts what is known ([`FingerprintChecks`]). A new address or
//! route does while the service is unreachable (invariant T6). While the service wants no request, a changed key
//! changes only what the status shows.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::account_keys::paths::AccountKeyPaths;
use crate::daemon::boot_tasks::BootTaskPaths;
use crate::daemon::fingerprint_checks::FingerprintChecks;
use crate::daemon::heartbeat::Heartbeat;
use crate::daemon::metadata_task::QUEUE_LENGTH;
use crate::daemon::observer::Observer;
use crate::daemon::publisher;
use crate::daemon::round_state::RoundState;
use crate::daemon::shared_status::SharedStatus;
use crate::daemon::wait::{Waiting, WakeReason};
use crate::host_keys::paths::HostKeyPaths;
use crate::metadata::api::refusal::Refusal;
use crate::metadata::api::response::Ask;
use crate::metadata::error::{ErrorKind, MetadataError};
use crate::scripts::model::settings::OnChange;
use crate::scripts::paths::SetupPaths;
use crate::settings::Settings;

/// The paths that the rounds use, and the settings.
pub(crate) struct RoundInputs<'a> {
    /// The keys, and the files that the daemon and the host-keys units exchange.
    pub(crate) host_keys: &'a HostKeyPaths,
    pub(crate) setup: &'a SetupPaths,
    pub(crate) boot_tasks: &'a BootTaskPaths,
    pub(crate) ssh_keys: &'a AccountKeyPaths,
    pub(crate) settings: watch::Receiver<Settings>,
    pub(crate) checks: FingerprintChecks,
    pub(crate) heartbeat: Heartbeat,
}

/// Does the rounds. Runs until it is dropped.
pub(crate) async fn run(mut api: impl Ask, shared_status: SharedStatus, mut inputs: RoundInputs<'_>) {
    let mut state = RoundState::new();
    let mut waiting = Waiting::new(inputs.host_keys);
    // The time of the next scheduled round, while the present one was only asked for.
    let mut scheduled: Option<Instant> = None;
    // The round may wait for the network, so root's units are told before it of keys that have changed.
    let mut keys_changed = true;
    // The time of the next round, if a key changed while the service wants no request.
    let mut refused_until: Option<Instant> = None;
    loop {
        if scheduled.is_some() {
            waiting.renew_key_watch();
        }
        // Each request of a round may find the queue full.
        inputs.heartbeat.set_due_within(inputs.settings.borrow_and_update().limits.total * 2 * QUEUE_LENGTH);
        let is_instance = shared_status.is_instance();
        if is_instance && keys_changed {
            state.send_host_key_requests(inputs.host_keys);
        }
        let wait = if let Some(until) = refused_until.take() {
            publisher::report_right_value(&shared_status, &inputs.checks, inputs.host_keys);
            until.saturating_duration_since(Instant::now())
        } else {
            do_round(&mut api, &shared_status, &inputs, &mut state, scheduled.take()).await
        };
        inputs.heartbeat.set_done_until(wait);
        let until = Instant::now() + wait;
        // Kept while requests are sent: a network event that it has begun to read must not be lost.
        let mut waited = pin!(waiting.wait(until, state.unreachable));
        let mut check_due = pin!(inputs.checks.due());
        loop {
            let request_due = if is_instance { state.send_host_key_requests(inputs.host_keys) } else { None };
            tokio::select! {
                reason = &mut waited => {
                    keys_changed = reason != WakeReason::Time;
                    refused_until = (reason == WakeReason::Keys && state.is_refused()).then_some(until);
                    state.note_wake_up(&reason);
                    break;
                }
                Ok(()) = inputs.settings.changed() => {
                    state.check_everything();
                    keys_changed = true;
                    break;
                }
                () = &mut check_due, if is_instance => {
                    scheduled = Some(until);
                    keys_changed = false;
                    break;
                }
                // Only sends the request that is due; the next round is not due yet.
                () = sleep_until(request_due.unwrap_or(until)), if request_due.is_some() => {}
            }
        }
    }
}

/// Does a round and notes its result. Returns how long to wait until the next one.
async fn do_round(
    api: &mut impl Ask,
    shared_status: &SharedStatus,
    inputs: &RoundInputs<'_>,
    state: &mut RoundState,
    asked: Option<Instant>,
) -> Duration {
    let settings = inputs.settings.borrow().clone();
    let is_instance = shared_status.is_instance();
    let looks_at_scripts = is_instance && state.is_time_for_scripts(asked.is_none());
    inputs.checks.begin_round();
    if is_instance {
        // Before the read of the published value, after which the connection is closed.
        let can_ask = state.can_ask_for_ssh_keys(&shared_status.read(), inputs.host_keys);
        state.ssh_keys.check(api, &settings, inputs.ssh_keys, can_ask).await;
    }
    let result = match is_instance {
        true => round(api, shared_status, inputs, &mut state.observer, looks_at_scripts).await,
        // Nothing is queried and nothing is published, but the status shows the keys.
        false => Ok(publisher::report_keys(shared_status, inputs.host_keys).is_some()),
    };
    let (is_locked, has_answered) = (result.as_ref().is_err_and(MetadataError::is_locked), answers(&result));
    // Before the request for the scripts, which may use the hostname.
    if state.observer.root_can_query_instance() && (has_answered || is_locked) {
        state.boot_tasks.request_hostname_if_due(&settings, &inputs.boot_tasks.hostname);
    }
    let is_published = shared_status.is_published();
    let wait = state.finish_round(asked, &result, is_published, inputs.setup, &settings);
    inputs.checks.end_round(&result, wait);
    let will_publish_soon = shared_status.will_publish() && state.boot_tasks.is_new();
    if state.observer.knows_instance() && has_answered && !will_publish_soon {
        state.boot_tasks.signal_if_due(api, &settings, inputs.boot_tasks).await;
    }
    wait
}

/// One round. Returns whether the host-keys units have written which keys sshd serves.
async fn round(
    api: &mut impl Ask,
    shared_status: &SharedStatus,
    inputs: &RoundInputs<'_>,
    observer: &mut Observer,
    looks_at_scripts: bool,
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
    let published = publisher::update(api, shared_status, &inputs.checks, inputs.host_keys).await;
    if let Err(why) = &published {
        if !leaves_value_published(why, shared_status) {
            shared_status.set_not_published(why);
        }
        if why.kind() == ErrorKind::Unreachable {
            return published;
        }
    }
    if !looks_at_scripts {
        return published;
    }
    // A service that refuses to store a value may still answer other requests.
    let settings = inputs.settings.borrow().setup.clone();
    let mut observed = observer.list_scripts(api, shared_status, settings.outcome_key.as_ref()).await;
    let watch_scripts = settings.on_change == OnChange::Now;
    if watch_scripts && observed.is_ok() {
        observed = observer.request_changed_scripts(api, shared_status, inputs.setup).await;
    }
    shared_status.set_answers_usable(&observed);
    if published.is_ok() && observer.knows_scripts() && is_refused_for_now(&observed) {
        // Scripts are looked for again in time. The checks of the published value need not slow down.
        return published;
    }
    observed.and(published)
}

/// Whether the service answered in a round with this result, and wants further requests.
fn answers(result: &Result<bool, MetadataError>) -> bool {
    let err = result.as_ref().err();
    err.is_none_or(|why| why.kind() != ErrorKind::Unreachable && why.retry_after().is_none())
}

fn is_refused_for_now(observed: &Result<(), MetadataError>) -> bool {
    matches!(observed, Err(MetadataError::Refused(Refusal::TooManyRequests(_))))
}

/// Whether the right value was published when it was last read, and this failure to read it again says nothing
/// about it.
fn leaves_value_published(why: &MetadataError, shared_status: &SharedStatus) -> bool {
    let is_temporary = why.kind() == ErrorKind::Unreachable
        || matches!(why, MetadataError::Refused(Refusal::TooManyRequests(_)));
    is_temporary && shared_status.is_published()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::metadata::api::request::Request;
    use crate::metadata::api::response::Response;
    use crate::metadata::error::TransportError;
    use crate::system::requests::RequestFolder;
    use crate::util::random;

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
        let inputs = RoundInputs {
            host_keys: &paths,
            setup: &setup,
            boot_tasks: &BootTaskPaths::default(),
            ssh_keys: &AccountKeyPaths::default(),
            settings,
            checks: FingerprintChecks::new(shared_status.clone()),
            heartbeat: Heartbeat::new("rounds"),
        };
        let before = cpu_time();
        let (mut state, start) = (RoundState::new(), Instant::now());
        while start.elapsed() < 30 * DAY {
            let looks_at_scripts = state.is_time_for_scripts(true);
            let result =
                round(&mut &mut service, &shared_status, &inputs, &mut state.observer, looks_at_scripts)
                    .await;
            let wait = state.finish_round(None, &result, false, &setup, &Settings::default());
            tokio::time::advance(wait).await;
        }
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

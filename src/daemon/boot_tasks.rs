//! What the daemon does once in each boot, where it is configured: it signals the state of the Instance, and requests the unit
//! that sets the hostname.
//!
//! A restart of the daemon is no boot. So a file in /run notes what was done; it stays when systemd restarts the daemon. A failure is
//! repeated with growing pauses.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use crate::daemon::repetition::Repetition;
use crate::metadata::api::response::Ask;
use crate::metadata::api::state_detail::StateDetail;
use crate::metadata::retry::backoff::Failure;
use crate::settings::Settings;
use crate::system::hostname::{HOSTNAME_REQUESTED, HostnamePaths};
use crate::util::files;
use crate::util::log_once::LogOnce;

/// The files of these tasks.
#[derive(Clone, Debug)]
pub(crate) struct BootTaskPaths {
    /// The requests to the unit that sets the hostname.
    pub hostname: HostnamePaths,
    /// Exists once the state was signalled in this boot.
    pub state_signalled: PathBuf,
}

impl Default for BootTaskPaths {
    fn default() -> Self {
        Self { hostname: HostnamePaths::default(), state_signalled: "/run/scw-agent/state-signalled".into() }
    }
}

/// How long the signal waits until the fingerprints are published. A request that is not answered would delay them.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is done, and when the rest is tried again.
#[derive(Debug)]
pub(crate) struct BootTasks {
    started: Instant,
    is_state_signalled: bool,
    signals: Repetition,
    hostname_requests: Repetition,
    signal_failure: LogOnce,
    request_failure: LogOnce,
}

impl Default for BootTasks {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            is_state_signalled: false,
            signals: Repetition::default(),
            hostname_requests: Repetition::default(),
            signal_failure: LogOnce::default(),
            request_failure: LogOnce::default(),
        }
    }
}

impl BootTasks {
    /// Whether the daemon started a moment ago, so that the signal can wait for what is more urgent.
    pub(crate) fn is_new(&self) -> bool {
        self.started.elapsed() < PATIENCE
    }

    /// Requests the unit that sets the hostname, if that is configured, due and not done. Call it only if root can query the service.
    pub(crate) fn request_hostname_if_due(&mut self, settings: &Settings, paths: &HostnamePaths) {
        if !settings.hostname_managed || !self.hostname_requests.is_due() || paths.done.exists() {
            return;
        }
        let failure = paths.requests.send(HOSTNAME_REQUESTED).err().map(|why| {
            let folder = paths.requests.requests.display();
            format!("cannot request the unit that sets the hostname (writing in {folder}): {why}")
        });
        self.request_failure.error(failure);
        self.hostname_requests.note_sent();
    }

    /// Signals the state, if that is configured, due and not done. Call it only if the service answers, and after all that is urgent.
    pub(crate) async fn signal_if_due(
        &mut self,
        api: &mut impl Ask,
        settings: &Settings,
        paths: &BootTaskPaths,
    ) {
        let Some(state) = &settings.boot_state else { return };
        self.is_state_signalled = self.is_state_signalled || paths.state_signalled.exists();
        if !self.is_state_signalled && self.signals.is_due() {
            self.signal(api, state, paths).await;
        }
    }

    /// Makes what is not done due now: something changed, so it may succeed.
    pub(crate) fn restart(&mut self) {
        self.signals.restart();
        self.hostname_requests.restart();
    }

    async fn signal(&mut self, api: &mut impl Ask, state: &StateDetail, paths: &BootTaskPaths) {
        let sent = api.signal_state(state).await;
        self.signal_failure
            .warn(sent.as_ref().err().map(|why| format!("cannot signal the state {state}: {why}")));
        if let Err(why) = sent {
            self.signals.note(Failure::of(&why));
            return;
        }
        tracing::info!("signalled the state {state}");
        self.is_state_signalled = true;
        if let Err(why) = files::write_atomic(&paths.state_signalled, b"", 0o644) {
            tracing::warn!(
                "cannot write {}, so a restart signals the state again: {why}",
                paths.state_signalled.display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hyper::HeaderMap;
    use hyper::body::Bytes;
    use hyper::header::{HeaderValue, RETRY_AFTER};
    use tokio::time::advance;

    use super::*;
    use crate::metadata::api::request::Request;
    use crate::metadata::api::response::Response;
    use crate::metadata::error::TransportError;
    use crate::system::requests::RequestFolder;
    use crate::util::random;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// A metadata service that refuses the state, and wants no request for this number of seconds.
    struct RefusingService {
        status: u16,
        retry_after: &'static str,
        requests: u32,
    }

    impl Ask for &mut RefusingService {
        async fn ask(&mut self, _: Request) -> Result<Response, TransportError> {
            self.requests += 1;
            let headers = [(RETRY_AFTER, HeaderValue::from_static(self.retry_after))];
            Ok(Response { status: self.status, headers: HeaderMap::from_iter(headers), body: Bytes::new() })
        }
    }

    fn paths() -> BootTaskPaths {
        let base = std::env::temp_dir().join(format!("scw-agent-boot-{:x}", random::generator().u64(..)));
        fs::create_dir_all(base.join("requests")).expect("made");
        let requests = RequestFolder { requests: base.join("requests"), pending: base.join("pending") };
        let hostname = HostnamePaths { requests, runs: base.join("runs"), done: base.join("done") };
        BootTaskPaths { hostname, state_signalled: base.join("signalled") }
    }

    #[tokio::test(start_paused = true)]
    async fn t5_failing_boot_tasks_are_repeated_ever_later() {
        let paths = paths();
        let request = paths.hostname.requests.requests.join(HOSTNAME_REQUESTED);
        let boot_state = Some(StateDetail::new("booted").expect("a state"));
        let settings = Settings { hostname_managed: true, boot_state, ..Settings::default() };
        let (mut tasks, mut service, mut taken) =
            (BootTasks::default(), RefusingService { status: 403, retry_after: "", requests: 0 }, 0);
        let start = Instant::now();
        while start.elapsed() < DAY {
            tasks.request_hostname_if_due(&settings, &paths.hostname);
            tasks.signal_if_due(&mut &mut service, &settings, &paths).await;
            // Each time, the unit starts and fails.
            taken += u32::from(fs::remove_file(&request).is_ok());
            advance(Duration::from_secs(47)).await;
        }
        assert!((24..60).contains(&service.requests), "{} signals in a day", service.requests);
        assert!((24..60).contains(&taken), "{taken} requests in a day");
        for file in [&paths.state_signalled, &paths.hostname.done] {
            fs::write(file, "").expect("written");
        }
        let before = service.requests;
        for mut tasks in [tasks, BootTasks::default()] {
            advance(DAY).await;
            tasks.request_hostname_if_due(&settings, &paths.hostname);
            tasks.signal_if_due(&mut &mut service, &settings, &paths).await;
            assert_eq!((service.requests, request.exists()), (before, false), "all is done in this boot");
        }
        fs::remove_dir_all(paths.hostname.done.parent().expect("a parent")).expect("removed");
    }

    #[tokio::test(start_paused = true)]
    async fn t5_retry_after_of_a_refused_state_is_kept() {
        let paths = paths();
        let boot_state = Some(StateDetail::new("booted").expect("a state"));
        let settings = Settings { boot_state, ..Settings::default() };
        let mut service = RefusingService { status: 429, retry_after: "600", requests: 0 };
        let (mut tasks, start) = (BootTasks::default(), Instant::now());
        while start.elapsed() < Duration::from_secs(600) {
            tasks.signal_if_due(&mut &mut service, &settings, &paths).await;
            advance(Duration::from_secs(47)).await;
        }
        assert_eq!(service.requests, 1);
        fs::remove_dir_all(paths.hostname.done.parent().expect("a parent")).expect("removed");
    }
}

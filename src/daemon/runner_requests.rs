//! When the setup runner is asked for: once, and again with growing waits until it has done the boot's work (T5).
//!
//! A runner that is at work needs no further request, and one that the metadata service refused will not do better a moment later. The daemon
//! starts nothing: see [`crate::system::requests`].

use std::time::Duration;

use tokio::time::Instant;

use crate::metadata::retry::backoff::{Budget, Cause, Failure, Next, Retry};
use crate::scripts::paths::{SETUP_REQUESTED, SetupPaths};
use crate::util::log_once::LogOnce;
use crate::util::random;

/// The requests of one life of the daemon.
#[derive(Debug)]
pub(crate) struct RunnerRequests {
    retry: Retry,
    /// When the next request is due.
    due: Instant,
    failure: LogOnce,
}

impl Default for RunnerRequests {
    fn default() -> Self {
        Self { retry: Retry::new(Budget::Unlimited), due: Instant::now(), failure: LogOnce::default() }
    }
}

impl RunnerRequests {
    /// Asks if a request is due. Returns how long until the next one is.
    pub(crate) fn ask_if_due(&mut self, places: &SetupPaths) -> Duration {
        let now = Instant::now();
        if self.due <= now {
            self.ask(places);
            let failure = Failure { cause: Cause::Lasting, asked_for: None };
            self.due = match self.retry.after(failure, &mut random::generator()) {
                Next::After(wait) => now + wait,
                Next::GiveUp => now,
            };
        }
        self.due - now
    }

    /// Asks at once. The runner removes the file when it starts.
    pub(crate) fn ask(&self, places: &SetupPaths) {
        let failure = places.requests.send(SETUP_REQUESTED).err().map(|why| {
            let folder = places.requests.requests.display();
            format!("cannot request the setup runner (writing in {folder}): {why}")
        });
        self.failure.error(failure);
    }

    /// Something changed, so the next request may have a better end: it is due now, and the waits are short again.
    pub(crate) fn start_anew(&mut self) {
        self.retry.reset();
        self.due = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::advance;

    use super::*;
    use crate::system::requests::RequestFolder;

    #[tokio::test(start_paused = true)]
    async fn t5_runner_is_requested_with_growing_waits() {
        let folder = std::env::temp_dir().join(format!("scw-agent-ask-{:x}", random::generator().u64(..)));
        fs::create_dir(&folder).expect("made");
        let requests = RequestFolder { requests: folder.clone(), pending: folder.join("pending") };
        let (places, request) =
            (SetupPaths { requests, ..SetupPaths::default() }, folder.join(SETUP_REQUESTED));
        let mut requests = RunnerRequests::default();
        let mut taken = 0;
        let day = Instant::now() + Duration::from_secs(24 * 3600);
        while Instant::now() < day {
            let wait = requests.ask_if_due(&places);
            // Each time, the runner starts, and cannot do its work.
            taken += u32::from(fs::remove_file(&request).is_ok());
            // The daemon comes back early as well, for other reasons.
            advance((wait / 3).max(Duration::from_millis(1))).await;
        }
        // One a minute were 1440.
        assert!((24..60).contains(&taken), "{taken} requests in a day");
        requests.start_anew();
        assert!(requests.ask_if_due(&places) <= Duration::from_secs(60), "short again");
        assert!(request.exists(), "asked for at once");
        fs::remove_dir_all(folder).expect("removed");
    }
}

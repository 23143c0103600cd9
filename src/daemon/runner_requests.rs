//! Decides when the daemon requests the setup runner: once, and again with growing pauses until the runner
//! has finished this boot's scripts (T5).
//!
//! A runner that is working needs no further request, and one that the metadata service refused would fail
//! again a moment later. The daemon starts nothing itself: see [`crate::system::requests`].

use std::time::Duration;

use crate::daemon::repetition::Repetition;
use crate::scripts::paths::{SETUP_REQUESTED, SetupPaths};
use crate::util::log_once::LogOnce;

/// The requests of one daemon process.
#[derive(Debug, Default)]
pub(crate) struct RunnerRequests {
    turns: Repetition,
    failure: LogOnce,
}

impl RunnerRequests {
    /// Sends a request if one is due. Returns the time until the next one.
    pub(crate) fn send_if_due(&mut self, paths: &SetupPaths) -> Duration {
        if self.turns.is_due() {
            self.send(paths);
            self.turns.note_sent();
        }
        self.turns.wait()
    }

    /// Sends a request at once. The runner removes the file when it starts.
    pub(crate) fn send(&self, paths: &SetupPaths) {
        let failure = paths.requests.send(SETUP_REQUESTED).err().map(|why| {
            let folder = paths.requests.requests.display();
            format!("cannot request the setup runner (writing in {folder}): {why}")
        });
        self.failure.error(failure);
    }

    /// Makes the next request due now and the pauses short again: something changed, so it may succeed.
    pub(crate) fn reset_backoff(&mut self) {
        self.turns.restart();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::{Instant, advance};

    use super::*;
    use crate::system::requests::RequestFolder;
    use crate::util::random;

    #[tokio::test(start_paused = true)]
    async fn t5_runner_is_requested_with_growing_waits() {
        let folder = std::env::temp_dir().join(format!("scw-agent-ask-{:x}", random::generator().u64(..)));
        fs::create_dir(&folder).expect("made");
        let requests = RequestFolder { requests: folder.clone(), pending: folder.join("pending") };
        let (paths, request) =
            (SetupPaths { requests, ..SetupPaths::default() }, folder.join(SETUP_REQUESTED));
        let mut requests = RunnerRequests::default();
        let mut taken = 0;
        let day = Instant::now() + Duration::from_secs(24 * 3600);
        while Instant::now() < day {
            let wait = requests.send_if_due(&paths);
            // Each time, the runner starts and cannot finish.
            taken += u32::from(fs::remove_file(&request).is_ok());
            // The daemon also calls earlier, for other reasons.
            advance((wait / 3).max(Duration::from_millis(1))).await;
        }
        // One request a minute would be 1440.
        assert!((24..60).contains(&taken), "{taken} requests in a day");
        requests.reset_backoff();
        assert!(requests.send_if_due(&paths) <= Duration::from_secs(60), "short again");
        assert!(request.exists(), "asked for at once");
        fs::remove_dir_all(folder).expect("removed");
    }
}

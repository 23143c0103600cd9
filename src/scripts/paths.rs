//! The files and folders of the setup runner.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::system::requests::RequestFolder;
use crate::util::files;

/// The paths that the setup runner uses.
#[derive(Clone, Debug)]
pub(crate) struct SetupPaths {
    /// The folder of records. Only root may enter it.
    pub state: PathBuf,
    /// The folder of the script files while scripts run.
    pub scripts: PathBuf,
    /// The summary of this boot's scripts.
    pub summary: PathBuf,
    /// The file that shows which script runs now.
    pub running: PathBuf,
    /// The folder with the output so far of running scripts, and of the script before them. Only root may enter it.
    pub outputs: PathBuf,
    /// The daemon's requests to run scripts.
    pub requests: RequestFolder,
    /// The time up to which the throttle has reserved starts of the runner's unit.
    pub runs: PathBuf,
}

/// The name of the daemon's request to run scripts.
pub(crate) const SETUP_REQUESTED: &str = "setup-requested";

impl Default for SetupPaths {
    fn default() -> Self {
        Self {
            state: "/var/lib/scw-agent/setup".into(),
            scripts: "/run/scw-agent-setup/scripts".into(),
            summary: "/run/scw-agent-setup/summary.json".into(),
            running: "/run/scw-agent-setup/running.json".into(),
            outputs: "/run/scw-agent-setup/private/outputs".into(),
            requests: RequestFolder {
                requests: "/run/scw-agent-requests/setup".into(),
                pending: "/run/scw-agent-setup/pending".into(),
            },
            runs: "/run/scw-agent-setup/private/runs".into(),
        }
    }
}

impl SetupPaths {
    /// Whether another process runs scripts now.
    pub(crate) fn is_runner_active(&self) -> bool {
        let lock = fs::File::open(&self.state).and_then(files::try_lock);
        lock.is_err_and(|why| why.kind() == io::ErrorKind::WouldBlock)
    }
}

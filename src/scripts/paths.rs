//! The files and folders of the setup runner.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::system::requests::RequestFolder;
use crate::util::files;

/// Where the runner keeps what it keeps.
#[derive(Clone, Debug)]
pub(crate) struct SetupPaths {
    /// Records; root's alone.
    pub state: PathBuf,
    /// Scripts, while they run.
    pub scripts: PathBuf,
    /// The summary of this boot's work.
    pub summary: PathBuf,
    /// Which script runs now.
    pub running: PathBuf,
    /// The output so far of scripts that run, and of the one before them; root's alone.
    pub outputs: PathBuf,
    /// The daemon's requests to run them.
    pub requests: RequestFolder,
    /// When the runner's unit was started by requests.
    pub runs: PathBuf,
}

/// The daemon's request to run the scripts.
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
    pub(crate) fn is_runner_at_work(&self) -> bool {
        let locked = fs::File::open(&self.state).and_then(files::try_lock);
        locked.is_err_and(|why| why.kind() == io::ErrorKind::WouldBlock)
    }
}

//! The files of the managed keys.

use std::path::PathBuf;

use crate::system::requests::RequestFolder;

/// The name of the daemon's request to apply the keys.
pub(crate) const KEYS_REQUESTED: &str = "keys-requested";

/// The paths.
#[derive(Clone, Debug)]
pub(crate) struct AccountKeyPaths {
    /// The managed keys. sshd reads the file at each login.
    pub(crate) file: PathBuf,
    /// The pattern by which sshd finds it. It names root's file for root only: whoever else logs in has no such file.
    pub(crate) pattern: String,
    /// Exists while sshd must read its configuration again.
    pub(crate) reload_pending: PathBuf,
    /// The digest of a configuration of sshd with which the drop-in is not used.
    pub(crate) refused: PathBuf,
    /// The drop-in that makes sshd read it.
    pub(crate) drop_in: PathBuf,
    /// The lock of a run. Only root may open it.
    pub(crate) lock: PathBuf,
    /// What the last run in this boot found, for everybody to read.
    pub(crate) report: PathBuf,
    /// The daemon's requests.
    pub(crate) requests: RequestFolder,
    /// The time up to which the throttle has reserved starts of the unit.
    pub(crate) runs: PathBuf,
}

impl Default for AccountKeyPaths {
    fn default() -> Self {
        Self {
            file: "/etc/ssh/scw-agent/root.keys".into(),
            pattern: "/etc/ssh/scw-agent/%u.keys".to_owned(),
            reload_pending: "/run/scw-agent-ssh-keys/private/reload-pending".into(),
            refused: "/run/scw-agent-ssh-keys/private/not-used".into(),
            drop_in: "/etc/ssh/sshd_config.d/60-scw-agent.conf".into(),
            lock: "/run/scw-agent-ssh-keys/private/lock".into(),
            report: "/run/scw-agent-ssh-keys/report.json".into(),
            requests: RequestFolder {
                requests: "/run/scw-agent-requests/ssh-keys".into(),
                pending: "/run/scw-agent-ssh-keys/pending".into(),
            },
            runs: "/run/scw-agent-ssh-keys/private/runs".into(),
        }
    }
}

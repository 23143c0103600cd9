//! Where the host keys' two roles and the daemon find and leave things.

use std::path::PathBuf;

use crate::identity::dmi;
use crate::system::requests::RequestFolder;

/// The daemon knows which Instance this is: its request to compare that with the record.
pub(crate) const INSTANCE_SEEN: &str = "instance-seen";
/// The daemon's request to ask sshd again what it serves.
pub(crate) const SURVEY_REQUESTED: &str = "survey-requested";
/// sshd must read its keys again. Only root notes this.
pub(crate) const SSHD_RELOAD: &str = "sshd-reload";

/// The paths. The defaults are those of every distribution.
#[derive(Clone, Debug)]
pub(crate) struct HostKeyPaths {
    /// sshd's configuration and, unless it says otherwise, its keys.
    pub keys: PathBuf,
    /// The record of the Instance.
    pub record: PathBuf,
    /// The hypervisor's data.
    pub dmi: PathBuf,
    /// The daemon's requests to the second pass.
    pub requests: RequestFolder,
    /// Held by the pass that is at work. Only root may open it.
    pub lock: PathBuf,
    /// The same, where the first cannot be made.
    pub lock_in_run: PathBuf,
    /// When the unit of the second pass was started by requests.
    pub runs: PathBuf,
    /// What sshd serves, for the daemon.
    pub served: PathBuf,
    /// The fingerprints that the console was told in this boot.
    pub told: PathBuf,
    /// OpenSSH's answers, for later boots.
    pub answers: PathBuf,
    /// The fingerprints that the disk had at this boot's first look.
    pub found: PathBuf,
    /// The keys that an unfinished renewal has made.
    pub renewed: PathBuf,
    /// Public keys of the Instances that this disk belonged to, by date.
    pub old: PathBuf,
    /// sshd's process id, where it runs as a daemon.
    pub sshd_pid: PathBuf,
    /// The kernel's word on whether only certified algorithms may be used.
    pub fips: PathBuf,
    /// The root of the file system with systemd's units.
    pub root: PathBuf,
}

impl Default for HostKeyPaths {
    fn default() -> Self {
        Self {
            keys: "/etc/ssh".into(),
            record: "/var/lib/scw-agent/instance.json".into(),
            dmi: dmi::FOLDER.into(),
            requests: RequestFolder {
                requests: "/run/scw-agent-requests/host-keys".into(),
                pending: "/run/scw-agent-hostkeys/pending".into(),
            },
            lock: "/var/lib/scw-agent/host-keys.lock".into(),
            lock_in_run: "/run/scw-agent-hostkeys/private/lock".into(),
            runs: "/run/scw-agent-hostkeys/private/runs".into(),
            served: "/run/scw-agent-hostkeys/served.json".into(),
            told: "/run/scw-agent-hostkeys/private/console".into(),
            answers: "/var/lib/scw-agent/openssh-answers.json".into(),
            found: "/run/scw-agent-hostkeys/found.json".into(),
            renewed: "/var/lib/scw-agent/renewed-keys.json".into(),
            old: "/var/lib/scw-agent/old-host-keys".into(),
            sshd_pid: "/run/sshd.pid".into(),
            fips: "/proc/sys/crypto/fips_enabled".into(),
            root: "/".into(),
        }
    }
}

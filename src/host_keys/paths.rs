//! The files and folders of the two passes, and the requests that the daemon sends to them.

use std::path::PathBuf;

use crate::identity::dmi;
use crate::system::requests::RequestFolder;

/// Request of the daemon, which knows which Instance this is now: compare that with the identity record.
pub(crate) const INSTANCE_SEEN: &str = "instance-seen";
/// Request of the daemon: ask sshd again which keys it serves.
pub(crate) const SSHD_QUERY_REQUESTED: &str = "survey-requested";
/// Pending request: sshd must read its keys again. Only root notes it.
pub(crate) const SSHD_RELOAD: &str = "sshd-reload";

/// The paths. The defaults fit every distribution.
#[derive(Clone, Debug)]
pub(crate) struct HostKeyPaths {
    /// The folder of sshd's configuration and, unless that says otherwise, of its keys.
    pub keys: PathBuf,
    /// The identity record.
    pub record: PathBuf,
    /// The folder with the hypervisor's DMI data.
    pub dmi: PathBuf,
    /// The daemon's requests to the settle pass.
    pub requests: RequestFolder,
    /// The lock file of a running pass. Only root may open it.
    pub lock: PathBuf,
    /// The lock file if `lock` cannot be created.
    pub lock_in_run: PathBuf,
    /// The time up to which the throttle has reserved starts of the settle unit.
    pub runs: PathBuf,
    /// The served keys, for the daemon.
    pub served: PathBuf,
    /// The lines that the console shows in this boot.
    pub console_lines: PathBuf,
    /// OpenSSH's answers, cached for later boots.
    pub openssh_answers: PathBuf,
    /// The fingerprints of the keys that the disk had before this boot.
    pub earlier_keys: PathBuf,
    /// The fingerprints of the keys that an unfinished renewal has made.
    pub renewed_keys: PathBuf,
    /// Public keys of the Instances that this disk belonged to, one folder for each renewal.
    pub old_keys: PathBuf,
    /// The file with sshd's process id, if sshd runs as a daemon.
    pub sshd_pid: PathBuf,
    /// The kernel's FIPS switch: `1` if only certified algorithms may be used.
    pub fips: PathBuf,
    /// The root of the file system in which systemd's units are read.
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
            console_lines: "/run/scw-agent-hostkeys/private/console".into(),
            openssh_answers: "/var/lib/scw-agent/openssh-answers.json".into(),
            earlier_keys: "/run/scw-agent-hostkeys/found.json".into(),
            renewed_keys: "/var/lib/scw-agent/renewed-keys.json".into(),
            old_keys: "/var/lib/scw-agent/old-host-keys".into(),
            sshd_pid: "/run/sshd.pid".into(),
            fips: "/proc/sys/crypto/fips_enabled".into(),
            root: "/".into(),
        }
    }
}

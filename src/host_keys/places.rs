//! Where the host keys' two roles and the daemon find and leave things.

use std::path::PathBuf;

use crate::identity::dmi;

/// The paths. The defaults are those of every distribution.
#[derive(Clone, Debug)]
pub struct Places {
    /// sshd's configuration and, unless it says otherwise, its keys.
    pub keys: PathBuf,
    /// The record of the Instance.
    pub record: PathBuf,
    /// The hypervisor's data.
    pub dmi: PathBuf,
    /// What the daemon learned from the metadata: it leaves the Instance's id here.
    pub seen: PathBuf,
    /// The daemon's request to ask sshd again what it serves.
    pub survey_request: PathBuf,
    /// What sshd serves, for the daemon.
    pub served: PathBuf,
    /// sshd's word on that, for the boots to come.
    pub word: PathBuf,
    /// The fingerprints that the disk had at this boot's first look.
    pub found: PathBuf,
    /// Public keys of the Instances that this disk belonged to, by date.
    pub old: PathBuf,
    /// sshd's process id, where it runs as a daemon.
    pub sshd_pid: PathBuf,
    /// The kernel's word on whether only certified algorithms may be used.
    pub fips: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            keys: "/etc/ssh".into(),
            record: "/var/lib/scw-agent/instance.json".into(),
            dmi: dmi::FOLDER.into(),
            seen: "/run/scw-agent/instance-seen".into(),
            survey_request: "/run/scw-agent/survey-requested".into(),
            served: "/run/scw-agent-hostkeys/served.json".into(),
            word: "/var/lib/scw-agent/sshd-word.json".into(),
            found: "/run/scw-agent-hostkeys/found.json".into(),
            old: "/var/lib/scw-agent/old-host-keys".into(),
            sshd_pid: "/run/sshd.pid".into(),
            fips: "/proc/sys/crypto/fips_enabled".into(),
        }
    }
}

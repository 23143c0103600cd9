//! The first door, from its beginning to its end: is this still the same Instance, are its keys whole, what must be told to whom.
//!
//! Order matters (law H2): new keys first, each whole; the record of the Instance last. Cut off in between, the next run finds the
//! old record, and does it all again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::ensure::{Ensured, Renew, ensure};
use super::inspect::public_keys;
use super::key_type::KeyType;
use crate::files;
use crate::identity::{self, Evidence, Identity, IdentityError, Verdict, dmi, judge};
use crate::metadata::InstanceId;
use crate::moment::Moment;

/// Where things are.
#[derive(Clone, Debug)]
pub struct Places {
    /// sshd's keys.
    pub keys: PathBuf,
    /// The record of the Instance.
    pub record: PathBuf,
    /// The hypervisor's data.
    pub dmi: PathBuf,
    /// What the daemon learned from the metadata: it leaves the Instance's id here, and PID 1 starts this role.
    pub seen: PathBuf,
    /// Public keys of the Instances that this disk belonged to, by date.
    pub old: PathBuf,
    /// sshd's process id, where it runs as a daemon.
    pub sshd_pid: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            keys: super::FOLDER.into(),
            record: "/var/lib/scw-agent/instance.json".into(),
            dmi: dmi::FOLDER.into(),
            seen: "/run/scw-agent/instance-seen".into(),
            old: "/var/lib/scw-agent/old-host-keys".into(),
            sshd_pid: "/run/sshd.pid".into(),
        }
    }
}

/// What the role found and did.
#[derive(Debug)]
pub struct Done {
    /// Whose disk this is.
    pub verdict: Verdict,
    /// The keys.
    pub ensured: Ensured,
    /// Where the public keys of another Instance were kept.
    pub old_keys: Option<PathBuf>,
    /// What went wrong beside the keys, and stopped nothing.
    pub troubles: Vec<String>,
}

/// Does the role's work. With `renew` unset (`regenerate = "never"`), another Instance keeps the keys.
pub fn run(places: &Places, types: &[KeyType], renew: bool) -> Done {
    let mut troubles = Vec::new();
    let recorded = identity::read(&places.record).unwrap_or_else(|why: IdentityError| {
        troubles.push(why.to_string());
        None
    });
    let evidence = Evidence { dmi: dmi::instance(&places.dmi), metadata: seen(&places.seen) };
    let verdict = judge(recorded.as_ref(), &evidence);

    // Without a folder there is no sshd, and nothing to make keys for (law D2).
    let types = if places.keys.exists() { types } else { &[] };
    let mut old_keys = None;
    let renewal = if renew && matches!(verdict, Verdict::Another(_)) {
        match keep_public_keys(places) {
            Ok(kept) => old_keys = kept,
            Err(why) => troubles
                .push(format!("the old public keys cannot be kept in {}: {why}", places.old.display())),
        }
        Renew::All
    } else {
        Renew::OnlyBroken
    };
    let ensured = ensure(&places.keys, types, renewal);
    if !ensured.made.is_empty() {
        reload_sshd(&places.sshd_pid);
    }
    if ensured.failed.is_empty() {
        if let Err(why) = record(places, recorded.as_ref(), &evidence, &verdict) {
            troubles.push(why.to_string());
        }
    }
    Done { verdict, ensured, old_keys, troubles }
}

/// The metadata's word, as the daemon left it. The daemon has no root, so it is a stranger's word: an id or nothing.
fn seen(path: &Path) -> Option<InstanceId> {
    let bytes = files::read_bounded(path, 64).ok().flatten();
    // Taken away before anything is done, so that PID 1 starts this again for what comes later.
    files::remove_anything(path);
    InstanceId::try_from(String::from_utf8(bytes?).ok()?.trim().to_owned()).ok()
}

/// So that an owner can tell what happened to the fingerprints.
fn keep_public_keys(places: &Places) -> io::Result<Option<PathBuf>> {
    let keys = public_keys(&places.keys)?;
    if keys.good.is_empty() {
        return Ok(None);
    }
    let folder = places.old.join(Moment::now().to_string());
    files::private_folder(&folder)?;
    for (path, key) in keys.good {
        if let Some(name) = path.file_name() {
            let line = format!("{} {}\n", key.key_text(), key.comment);
            files::write_whole(&folder.join(name), line.as_bytes(), 0o644)?;
        }
    }
    Ok(Some(folder))
}

/// A running sshd reads its keys again on SIGHUP, and keeps its connections. Where each connection has a process of its own
/// (socket activation), there is none to tell.
fn reload_sshd(pid_file: &Path) {
    let pid = files::read_bounded(pid_file, 64)
        .ok()
        .flatten()
        .and_then(|text| String::from_utf8(text).ok()?.trim().parse().ok());
    let Some(pid) = pid.filter(|pid: &i32| *pid > 1) else { return };
    // The file may be an old one, and the number another's by now.
    if fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sshd") {
        match kill(Pid::from_raw(pid), Signal::SIGHUP) {
            Ok(()) => tracing::info!("told sshd to read its keys again"),
            Err(why) => tracing::error!("sshd cannot be told to read its keys again: {why}"),
        }
    }
}

/// Last of all: whose disk this is from now on.
fn record(
    places: &Places,
    recorded: Option<&Identity>,
    evidence: &Evidence,
    verdict: &Verdict,
) -> Result<(), IdentityError> {
    let now = match verdict {
        // The metadata are not to be believed alone.
        Verdict::Conflict(_) => None,
        // Known before the network: by DMI, which counted.
        Verdict::Another(instance) if evidence.metadata.as_ref() != Some(instance) => {
            Some(Identity { instance: instance.clone(), dmi_names_instance: true })
        }
        _ => evidence.identity(),
    };
    match now {
        Some(now) if recorded != Some(&now) => identity::write(&places.record, &now),
        _ => Ok(()),
    }
}

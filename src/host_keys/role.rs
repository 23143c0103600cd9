//! The first door's two passes, from their beginning to their end: [`ensure`] before sshd starts, without a network; [`settle`] once the
//! metadata have told which Instance this is, and whenever sshd's configuration changed.
//!
//! Order matters (law H2): new keys first, each whole; the record of the Instance last. Cut off in between, the next run finds the
//! old record, and does it all again. The second pass makes keys for another Instance only: others may be at work on theirs then.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::ensure::{Ensured, Renew, ensure as ensure_folder};
use super::inspect::{is_usable, private_keys, public_keys};
use super::key_type::KeyType;
use super::places::Places;
use super::served::Served;
use super::survey;
use crate::files;
use crate::identity::{self, Evidence, Identity, IdentityError, Verdict, dmi, judge};
use crate::metadata::InstanceId;
use crate::moment::Moment;

/// What the role found and did.
#[derive(Debug)]
pub struct Done {
    /// Whose disk this is.
    pub verdict: Verdict,
    /// Whether all keys were made anew for another Instance.
    pub renewed: bool,
    /// The keys.
    pub ensured: Ensured,
    /// Where the public keys of another Instance were kept.
    pub old_keys: Option<PathBuf>,
    /// What went wrong beside the keys, and stopped nothing.
    pub troubles: Vec<String>,
}

/// What the configuration says about it.
#[derive(Clone, Copy, Debug)]
pub struct Wishes<'a> {
    /// The types of key to have, where sshd's own configuration does not say otherwise.
    pub types: &'a [KeyType],
    /// Unset (`regenerate = "never"`), another Instance keeps the keys.
    pub regenerate: bool,
    /// Whether this is a Scaleway Instance; elsewhere nothing proves that the disk changed hands (invariant P1).
    pub on_platform: bool,
}

/// The first pass, before sshd: every key is there and whole, and those that the hypervisor proves to be another Instance's are new.
pub fn ensure(places: &Places, wishes: Wishes<'_>) -> Done {
    let mut work = Work::begin(places, wishes, None);
    let renewal = if wishes.regenerate && work.is_another() { work.renewal() } else { Renew::OnlyBroken };
    let served = survey::by_files(&places.keys);
    work.make(&served, renewal);
    let found = remember_found(places, &served, &work.done.ensured.made);
    work.note(found, &places.found);
    work.leave(served);
    work.finish()
}

/// The second pass: the metadata's word on whose disk this is, if the daemon left it; and sshd's on what it serves.
pub fn settle(places: &Places, wishes: Wishes<'_>) -> Done {
    files::remove_anything(&places.survey_request);
    let mut work = Work::begin(places, wishes, seen(&places.seen));
    let served = survey::by_files(&places.keys);
    if wishes.regenerate && work.is_another() && has_found_keys(places, &served) {
        let renewal = work.renewal();
        work.make(&served, renewal);
    }
    let served = survey::by_sshd(places).unwrap_or_else(|why| {
        work.done.troubles.push(why.to_string());
        None
    });
    work.leave(served.unwrap_or_else(|| survey::by_files(&places.keys)));
    work.finish()
}

/// One pass on its way.
struct Work<'a> {
    places: &'a Places,
    types: Vec<KeyType>,
    recorded: Option<Identity>,
    may_record: bool,
    evidence: Evidence,
    done: Done,
    /// One pass at a time: the units and a person may meet. Without a folder there is nothing to meet over.
    _lock: Option<files::Lock>,
}

impl<'a> Work<'a> {
    fn begin(places: &'a Places, wishes: Wishes<'_>, metadata: Option<InstanceId>) -> Self {
        let lock = files::lock(&places.keys).ok();
        let mut troubles = Vec::new();
        let mut may_record = true;
        let recorded = identity::read(&places.record).unwrap_or_else(|why| {
            // A record that is there and cannot be read now may prove another Instance at the next boot: it must not be overwritten.
            may_record = matches!(why, IdentityError::SetAside(..));
            troubles.push(why.to_string());
            None
        });
        let evidence = if wishes.on_platform {
            Evidence { dmi: dmi::instance(&places.dmi), metadata }
        } else {
            Evidence::default()
        };
        let verdict = judge(recorded.as_ref(), &evidence);
        let mut types = wishes.types.to_vec();
        if fs::read_to_string(&places.fips).is_ok_and(|word| word.trim() == "1") {
            // OpenSSH refuses this type where only certified algorithms may be used.
            types.retain(|key_type| *key_type != KeyType::Ed25519);
        }
        let ensured = Ensured::default();
        let done = Done { verdict, renewed: false, ensured, old_keys: None, troubles };
        Self { places, types, recorded, may_record, evidence, done, _lock: lock }
    }

    fn is_another(&self) -> bool {
        matches!(self.done.verdict, Verdict::Another(_))
    }

    /// All keys anew, the old public keys kept.
    fn renewal(&mut self) -> Renew {
        match keep_public_keys(self.places) {
            Ok(kept) => self.done.old_keys = kept,
            Err(why) => self
                .done
                .troubles
                .push(format!("the old public keys cannot be kept in {}: {why}", self.places.old.display())),
        }
        self.done.renewed = true;
        Renew::All
    }

    fn make(&mut self, served: &Served, renewal: Renew) {
        for (folder, types) in served.wanted(&self.places.keys, &self.types) {
            // Without a folder there is no sshd, and nothing to make keys for (law D2).
            if folder.exists() {
                self.done.ensured.add(ensure_folder(&folder, &types, renewal));
            }
        }
        if !self.done.ensured.made.is_empty() {
            reload_sshd(&self.places.sshd_pid);
        }
    }

    /// Tells the daemon what sshd serves. What is named and can be no key is not served (law H3), and only root can see that.
    fn leave(&mut self, served: Served) {
        let left = survey::leave(&served.only(is_usable), &self.places.served);
        self.note(left, &self.places.served);
    }

    fn note(&mut self, written: io::Result<()>, path: &Path) {
        if let Err(why) = written {
            self.done.troubles.push(format!("{} cannot be written: {why}", path.display()));
        }
    }

    /// Last of all: whose disk this is from now on.
    fn finish(mut self) -> Done {
        if self.may_record && self.done.ensured.failed.is_empty() {
            let now = recordable(&self.evidence, &self.done.verdict);
            if let Some(now) = now.filter(|now| self.recorded.as_ref() != Some(now)) {
                if let Err(why) = identity::write(&self.places.record, &now) {
                    self.done.troubles.push(why.to_string());
                }
            }
        }
        self.done
    }
}

/// The metadata's word, as the daemon left it. The daemon has no root, so it is a stranger's word: an id or nothing.
fn seen(path: &Path) -> Option<InstanceId> {
    let bytes = files::read_bounded(path, 64).ok().flatten();
    // Taken away before anything is done, so that PID 1 starts this again for what comes later.
    files::remove_anything(path);
    InstanceId::try_from(String::from_utf8(bytes?).ok()?.trim().to_owned()).ok()
}

/// Keeps for the second pass which keys the disk brought along: what came into being in this boot, by whomever it was made, is no
/// other Instance's.
fn remember_found(places: &Places, served: &Served, made: &[KeyType]) -> io::Result<()> {
    if places.found.exists() {
        return Ok(());
    }
    let keys = public_keys(&places.keys, served)?;
    let is_new = |algorithm: &str| made.iter().any(|key_type| key_type.algorithm() == algorithm);
    let found: BTreeSet<_> =
        keys.good.iter().map(|k| &k.key).filter(|k| !is_new(&k.algorithm)).map(|k| k.fingerprint()).collect();
    survey::leave_for_boot(&places.found, &serde_json::to_vec(&found)?)
}

/// Whether one of the keys was on the disk before this boot. If that is not known, it was.
fn has_found_keys(places: &Places, served: &Served) -> bool {
    let bytes = files::read_bounded(&places.found, 64 * 1024).ok().flatten().unwrap_or_default();
    let Ok(found) = serde_json::from_slice::<BTreeSet<String>>(&bytes) else { return true };
    let Ok(keys) = public_keys(&places.keys, served) else { return true };
    let is_known = |private: &Path| keys.good.iter().any(|key| key.path.with_extension("") == private);
    keys.good.iter().any(|key| found.contains(&key.key.fingerprint()))
        || private_keys(&places.keys).iter().any(|private| !is_known(private))
}

/// So that an owner can tell what happened to the fingerprints.
fn keep_public_keys(places: &Places) -> io::Result<Option<PathBuf>> {
    let keys = public_keys(&places.keys, &survey::known(places))?;
    if keys.good.is_empty() {
        return Ok(None);
    }
    let folder = places.old.join(Moment::now().to_string());
    files::private_folder(&folder)?;
    for local in keys.good {
        if let Some(name) = local.path.file_name() {
            let line = format!("{} {}\n", local.key.key_text(), local.key.comment);
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

/// What to record of whose disk this is, if it is known.
fn recordable(evidence: &Evidence, verdict: &Verdict) -> Option<Identity> {
    match verdict {
        // The metadata are not to be believed alone.
        Verdict::Conflict(_) => None,
        // Known before the network: by DMI, which counted.
        Verdict::Another(instance) if evidence.metadata.as_ref() != Some(instance) => {
            Some(Identity { instance: instance.clone(), dmi_names_instance: true })
        }
        _ => evidence.identity(),
    }
}

//! The host-keys role: [`ensure`] before sshd starts, without a network; [`settle`] once the metadata service can be asked which Instance
//! this is, and whenever sshd's configuration changed.
//!
//! The order matters (invariant H2): new keys first, each whole; the record of the Instance last. Cut off in between, the next run finds
//! the old record, and does it all again. The second pass makes keys for another Instance only: others may be at work on theirs then.
//!
//! Proof that the disk is another Instance's is the hypervisor's DMI data, or the answer that the service gave to root. The daemon only
//! requests: it has no root, and its word proves nothing (invariants D3, H1). One pass is at work at a time, by a lock that no other
//! user can take. A request is served or stays pending.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ensure::{Ensured, Renew, ensure as ensure_folder};
use super::inspect::{is_usable, private_keys, public_keys};
use super::key_type::KeyType;
use super::places::{INSTANCE_SEEN, Places, SSHD_RELOAD, SURVEY_REQUESTED};
use super::served::Served;
use super::{old_keys, sshd_process, survey};
use crate::files;
use crate::identity::{self, Evidence, Identity, IdentityError, Verdict, dmi, judge};
use crate::metadata::InstanceId;

/// How long a pass waits for another one. A whole renewal takes seconds.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// What the role found and did.
#[derive(Debug, Default)]
pub struct Done {
    /// Whose disk this is.
    pub verdict: Verdict,
    /// Whether all keys were made anew for another Instance.
    pub renewed: bool,
    /// The keys.
    pub ensured: Ensured,
    /// Where the public keys of another Instance were kept.
    pub old_keys: Option<PathBuf>,
    /// Why the metadata service was asked which Instance this is and gave no answer. The request stays pending.
    pub unanswered: Option<String>,
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
///
/// If another process keeps the lock, the keys that are there serve as they are, and nothing is recorded: sshd waits for this. Only a
/// machine without any key gets keys all the same.
pub fn ensure(places: &Places, wishes: Wishes<'_>) -> Done {
    let lock = lock(places);
    let mut work = Work::begin(places, wishes);
    work.judge(None);
    let served = survey::by_files(&places.keys);
    if lock.is_ok() || !has_usable_key(places, &served) {
        let renew = lock.is_ok() && wishes.regenerate && work.is_another();
        let renewal = if renew { work.renewal() } else { Renew::OnlyBroken };
        work.make(&served, renewal);
        // At a boot, sshd does not run yet.
        work.reload_sshd(false);
    }
    if let Err(why) = &lock {
        work.done.troubles.push(format!("{why}; the keys that are there stay as they are"));
        work.may_record = false;
    }
    let found = remember_found(places, &served, &work.done.ensured.made);
    work.note(found, &places.found);
    work.leave(served);
    work.finish();
    work.done
}

/// The second pass: whose disk this is, and what sshd serves. `ask` asks the metadata service; it is called only if the daemon requested
/// it, and only on a Scaleway Instance.
pub fn settle(places: &Places, wishes: Wishes<'_>, ask: impl FnOnce() -> Result<InstanceId, String>) -> Done {
    let lock = lock(places);
    let mut work = Work::begin(places, wishes);
    if let Err(why) = &lock {
        work.done.troubles.push(format!("{why}; all requests stay for the next start"));
        return work.done;
    }
    let requests = places.requests.take(&[INSTANCE_SEEN, SURVEY_REQUESTED]);
    work.done.troubles.extend(requests.problems.iter().cloned());
    let asks = requests.has(INSTANCE_SEEN) && wishes.on_platform;
    let answer = match asks.then(ask).transpose() {
        Ok(answer) => answer,
        Err(why) => {
            work.done.unanswered = Some(why);
            None
        }
    };
    let is_answered = work.done.unanswered.is_none();
    work.judge(answer);
    let served = survey::by_files(&places.keys);
    if wishes.regenerate && work.is_another() && has_found_keys(places, &served) {
        let renewal = work.renewal();
        work.make(&served, renewal);
    }
    work.reload_sshd(true);
    let is_surveyed = work.survey();
    let is_recorded = work.finish();
    for (name, is_served) in [(INSTANCE_SEEN, is_answered && is_recorded), (SURVEY_REQUESTED, is_surveyed)] {
        if is_served {
            let forgotten = requests.served(name);
            work.note(forgotten, &places.requests.pending);
        }
    }
    work.done
}

/// One pass at a time: the units and a person may meet.
fn lock(places: &Places) -> Result<files::Lock, String> {
    let try_lock = |path: &Path, make_folder: fn(&Path) -> io::Result<()>| {
        let lock = path.parent().map_or(Ok(()), make_folder);
        lock.and_then(|()| files::lock_within(path, LOCK_TIMEOUT)).map_err(|why| (path.to_owned(), why))
    };
    let lock = match try_lock(&places.lock, files::private_folder) {
        // It cannot be made: the disk is full or read-only.
        Err((_, why)) if why.kind() != io::ErrorKind::TimedOut => {
            try_lock(&places.lock_in_run, files::private_subfolder)
        }
        lock => lock,
    };
    lock.map_err(|(path, why)| format!("cannot lock {}: {why}", path.display()))
}

/// One pass on its way.
struct Work<'a> {
    places: &'a Places,
    types: Vec<KeyType>,
    recorded: Option<Identity>,
    may_record: bool,
    on_platform: bool,
    evidence: Evidence,
    /// Whether sshd has keys to read.
    reload: bool,
    done: Done,
}

impl<'a> Work<'a> {
    fn begin(places: &'a Places, wishes: Wishes<'_>) -> Self {
        let mut troubles = Vec::new();
        let mut may_record = true;
        let recorded = identity::read(&places.record).unwrap_or_else(|why| {
            // A record that is there and cannot be read now may prove another Instance at the next boot: it must not be overwritten.
            may_record = matches!(why, IdentityError::SetAside(..));
            troubles.push(why.to_string());
            None
        });
        let mut types = wishes.types.to_vec();
        if fs::read_to_string(&places.fips).is_ok_and(|word| word.trim() == "1") {
            // OpenSSH refuses this type where only certified algorithms may be used.
            types.retain(|key_type| *key_type != KeyType::Ed25519);
        }
        let done = Done { troubles, ..Done::default() };
        let (on_platform, evidence) = (wishes.on_platform, Evidence::default());
        Self { places, types, recorded, may_record, on_platform, evidence, reload: false, done }
    }

    /// Whose disk this is, by what the hypervisor says and the service answered.
    fn judge(&mut self, metadata: Option<InstanceId>) {
        if self.on_platform {
            self.evidence = Evidence { dmi: dmi::instance(&self.places.dmi), metadata };
        }
        self.done.verdict = judge(self.recorded.as_ref(), &self.evidence);
    }

    fn is_another(&self) -> bool {
        matches!(self.done.verdict, Verdict::Another(_))
    }

    /// All keys anew, the old public keys kept.
    fn renewal(&mut self) -> Renew {
        let keys = public_keys(&self.places.keys, &survey::known(self.places));
        match keys.and_then(|keys| old_keys::keep(&self.places.old, &keys)) {
            Ok(kept) => self.done.old_keys = kept,
            Err(why) => self
                .done
                .troubles
                .push(format!("the old public keys cannot be kept in {}: {why}", self.places.old.display())),
        }
        self.done.renewed = true;
        // Noted before the first key changes: killed between the keys and the signal, the next run sends it.
        self.note_reload();
        Renew::All
    }

    fn make(&mut self, served: &Served, renewal: Renew) {
        for (folder, types) in served.wanted(&self.places.keys, &self.types) {
            // Without a folder there is no sshd, and nothing to make keys for (law D2).
            if folder.exists() {
                self.done.ensured.add(ensure_folder(&folder, &types, renewal));
            }
        }
        self.reload |= !self.done.ensured.made.is_empty();
    }

    fn note_reload(&mut self) {
        self.reload = true;
        let noted = self.places.requests.note(SSHD_RELOAD);
        self.note(noted, &self.places.requests.pending);
    }

    /// Has a running sshd read its keys again, now or in the run that finds its configuration whole.
    fn reload_sshd(&mut self, ask_systemd: bool) {
        let is_noted = self.places.requests.is_pending(SSHD_RELOAD);
        if !self.reload && !is_noted {
            return;
        }
        match sshd_process::reload(&self.places.sshd_pid, ask_systemd) {
            Ok(_) => {
                let forgotten = self.places.requests.forget(SSHD_RELOAD);
                self.note(forgotten, &self.places.requests.pending);
            }
            Err(why) => {
                self.done.troubles.push(why.to_string());
                if !is_noted {
                    self.note_reload();
                }
            }
        }
    }

    /// What sshd serves, by its own word if it gives one. Whether that was found out and left for the daemon.
    fn survey(&mut self) -> bool {
        let before = self.done.troubles.len();
        let served = survey::by_sshd(self.places).unwrap_or_else(|why| {
            self.done.troubles.push(why.to_string());
            None
        });
        self.leave(served.unwrap_or_else(|| survey::by_files(&self.places.keys)));
        self.done.troubles.len() == before
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

    /// Last of all: whose disk this is from now on. Whether all that the verdict asks for is done and recorded.
    fn finish(&mut self) -> bool {
        let pruned = old_keys::prune(&self.places.old, self.done.old_keys.as_deref());
        self.note(pruned, &self.places.old);
        if !self.may_record || !self.done.ensured.failed.is_empty() {
            return false;
        }
        let now = recordable(&self.evidence, &self.done.verdict);
        let Some(now) = now.filter(|now| self.recorded.as_ref() != Some(now)) else { return true };
        let written = identity::write(&self.places.record, &now);
        let is_written = written.is_ok();
        self.done.troubles.extend(written.err().map(|why| why.to_string()));
        is_written
    }
}

/// Whether sshd can start with one of the keys that are there.
fn has_usable_key(places: &Places, served: &Served) -> bool {
    let named = served.keys.clone().unwrap_or_else(|| private_keys(&places.keys));
    named.iter().any(|path| is_usable(path))
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

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
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host_keys::key::key_type::KeyType;
use crate::host_keys::paths::{HostKeyPaths, INSTANCE_SEEN, SSHD_RELOAD, SURVEY_REQUESTED};
use crate::host_keys::sshd::cache::OpensshAnswers;
use crate::host_keys::sshd::effective::{ConfigSource, EffectiveHostKeys};
use crate::host_keys::sshd::server::SshServer;
use crate::host_keys::sshd::{process, query};
use crate::host_keys::store::apply::{KeyChanges, KeyStore, Renewal};
use crate::host_keys::store::key_file::{KeyFile, Private};
use crate::host_keys::store::key_group::KeyGroup;
use crate::host_keys::store::plan::Rules;
use crate::host_keys::store::served::{KeyProblem, ServedKeys, write_for_boot};
use crate::host_keys::store::{old_keys, problems, renewed_keys};
use crate::identity::dmi;
use crate::identity::record::{self, Identity, IdentityError};
use crate::identity::verdict::{Evidence, Verdict, judge};
use crate::metadata::api::instance::InstanceId;
use crate::util::files;
use crate::util::program;

/// How long a pass waits for another one. A whole renewal takes seconds.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// What the role found and did.
#[derive(Debug, Default)]
pub(crate) struct PassReport {
    /// Whose disk this is.
    pub verdict: Verdict,
    /// Whether all keys were made anew for another Instance.
    pub renewed: bool,
    /// The keys.
    pub ensured: KeyChanges,
    /// Where the public keys of another Instance were kept.
    pub old_keys: Option<PathBuf>,
    /// Why the metadata service was asked which Instance this is and gave no answer. The request stays pending.
    pub unanswered: Option<String>,
    /// Lines for the console: the keys that sshd serves, where they are known to be this Instance's and were not told in this boot.
    pub to_tell: String,
    /// What went wrong beside the keys, and stopped nothing.
    pub troubles: Vec<String>,
}

/// What the configuration says about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PassSettings<'a> {
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
pub(crate) fn ensure(places: &HostKeyPaths, wishes: PassSettings<'_>) -> PassReport {
    let lock = lock(places);
    let mut work = Pass::begin(places, wishes);
    work.judge(None);
    let effective = work.ask_sshd();
    let task = work.task(&effective);
    let mut keys = Vec::new();
    if lock.is_err() {
        keys = task.look(&mut work.answers);
    }
    if !keys.iter().any(|key| key.loaded().is_some()) {
        let renews = lock.is_ok() && wishes.regenerate;
        let renew = if renews { work.renewal(&task) } else { None };
        keys = work.make(&task, &renew.unwrap_or(Renewal::OnlyBroken));
        // At a boot, sshd does not run yet.
        work.reload_sshd(false);
    }
    if let Err(why) = &lock {
        work.done.troubles.push(format!("{why}; the keys that are there stay as they are"));
        work.may_record = false;
    }
    // Where sshd's keys are not known, neither is which of them the disk brought along.
    if work.is_sshd_known {
        let found = remember_found(places, &keys, &work.done.ensured.new_files);
        work.note(found, &places.found);
    }
    work.finish();
    work.write_served(&task, &keys);
    work.done
}

/// The second pass: whose disk this is, and what sshd serves. `ask` asks the metadata service; it is called only if the daemon requested
/// it, and only on a Scaleway Instance.
pub(crate) fn settle(
    places: &HostKeyPaths,
    wishes: PassSettings<'_>,
    ask: impl FnOnce() -> Result<InstanceId, String>,
) -> PassReport {
    let lock = lock(places);
    let mut work = Pass::begin(places, wishes);
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
    let effective = work.ask_sshd();
    let task = work.task(&effective);
    let mut keys = task.look(&mut work.answers);
    if wishes.regenerate && has_found_keys(places, &keys) {
        if let Some(renew) = work.renewal(&task) {
            keys = work.make(&task, &renew);
        }
    }
    work.reload_sshd(true);
    let is_recorded = work.finish();
    let written = work.write_served(&task, &keys);
    if let Some(served) = written.as_ref().filter(|_| work.is_instance_known()) {
        work.done.to_tell = lines_to_tell(places, served);
    }
    let is_surveyed = work.is_sshd_known && written.is_some();
    for (name, is_served) in [(INSTANCE_SEEN, is_answered && is_recorded), (SURVEY_REQUESTED, is_surveyed)] {
        if is_served {
            let forgotten = requests.served(name);
            work.note(forgotten, &places.requests.pending);
        }
    }
    work.done
}

/// The host keys as a person sees them: what root's units wrote in this boot; where they wrote nothing, as root, what they would write; else
/// the public keys that there are.
pub(crate) fn known(places: &HostKeyPaths, types: &[KeyType]) -> ServedKeys {
    if let Some(served) = ServedKeys::read(&places.served) {
        return served;
    }
    if !nix::unistd::geteuid().is_root() {
        return ServedKeys::by_public_files(&places.keys);
    }
    let mut answers = OpensshAnswers::load(&places.answers, program::stamp("ssh-keygen"));
    let (effective, error) = query::effective(places, &mut answers);
    let rules = rules(places, &effective, types);
    let is_sshd_known = error.is_none();
    let task = KeyStore { folder: &places.keys, rules, group: KeyGroup::read(), is_sshd_known };
    ServedKeys::of(&effective, &places.keys, &task.look(&mut answers))
}

fn rules<'a>(places: &HostKeyPaths, effective: &'a EffectiveHostKeys, types: &'a [KeyType]) -> Rules<'a> {
    let only_certified = fs::read_to_string(&places.fips).is_ok_and(|word| word.trim() == "1");
    Rules { effective, types, only_certified }
}

/// One pass at a time: the units and a person may meet.
fn lock(places: &HostKeyPaths) -> Result<files::Lock, String> {
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
struct Pass<'a> {
    places: &'a HostKeyPaths,
    wishes: PassSettings<'a>,
    recorded: Option<Identity>,
    may_record: bool,
    evidence: Evidence,
    answers: OpensshAnswers,
    answers_before: OpensshAnswers,
    /// The fingerprints of keys that an earlier attempt of this renewal has made…
    renewed: BTreeSet<String>,
    /// …and of those that it must replace.
    old: BTreeSet<String>,
    /// Whether sshd has keys to read.
    reload: bool,
    /// Whether sshd could be asked which keys it serves. Otherwise a key of another Instance may be among those that are not known.
    is_sshd_known: bool,
    done: PassReport,
}

impl<'a> Pass<'a> {
    fn begin(places: &'a HostKeyPaths, wishes: PassSettings<'a>) -> Self {
        let mut troubles = Vec::new();
        let mut may_record = true;
        let recorded = record::read(&places.record).unwrap_or_else(|why| {
            // A record that is there and cannot be read now may prove another Instance at the next boot: it must not be overwritten.
            may_record = matches!(why, IdentityError::SetAside(..));
            troubles.push(why.to_string());
            None
        });
        let done = PassReport { troubles, ..PassReport::default() };
        let answers = OpensshAnswers::load(&places.answers, program::stamp("ssh-keygen"));
        let (evidence, answers_before) = (Evidence::default(), answers.clone());
        let (renewed, old, reload) = (BTreeSet::new(), BTreeSet::new(), false);
        Self {
            places,
            wishes,
            recorded,
            may_record,
            evidence,
            answers,
            answers_before,
            renewed,
            old,
            reload,
            is_sshd_known: true,
            done,
        }
    }

    /// Whose disk this is, by what the hypervisor says and the service answered.
    fn judge(&mut self, metadata: Option<InstanceId>) {
        if self.wishes.on_platform {
            self.evidence = Evidence { dmi: dmi::instance(&self.places.dmi), metadata };
        }
        self.done.verdict = judge(self.recorded.as_ref(), &self.evidence);
    }

    /// Which host keys sshd is configured with.
    fn ask_sshd(&mut self) -> EffectiveHostKeys {
        let (effective, error) = query::effective(self.places, &mut self.answers);
        self.is_sshd_known = error.is_none();
        self.done.troubles.extend(error.map(|why| why.to_string()));
        effective
    }

    fn task<'b>(&self, effective: &'b EffectiveHostKeys) -> KeyStore<'b>
    where
        'a: 'b,
    {
        let rules = rules(self.places, effective, self.wishes.types);
        let is_sshd_known = self.is_sshd_known;
        KeyStore { folder: &self.places.keys, rules, group: KeyGroup::read(), is_sshd_known }
    }

    /// If the disk is another Instance's now: all keys anew, the old public keys kept.
    fn renewal(&mut self, task: &KeyStore<'_>) -> Option<Renewal> {
        let Verdict::Another(instance) = self.done.verdict.clone() else { return None };
        let files = task.look(&mut self.answers);
        self.renewed = renewed_keys::read(&self.places.renewed, &instance);
        self.old = files.iter().filter_map(key_in_use).filter(|key| !self.renewed.contains(key)).collect();
        let keys = ServedKeys::of(task.rules.effective, task.folder, &files).keys;
        match old_keys::keep(&self.places.old, &keys) {
            Ok(kept) => self.done.old_keys = kept,
            Err(why) => self
                .done
                .troubles
                .push(format!("the old public keys cannot be kept in {}: {why}", self.places.old.display())),
        }
        self.done.renewed = true;
        // Noted before the first key changes: killed between the keys and the signal, the next run sends it.
        self.note_reload();
        Some(Renewal::AllBut(self.renewed.clone()))
    }

    /// Makes what is to be made; the keys as they are afterwards.
    fn make(&mut self, task: &KeyStore<'_>, renew: &Renewal) -> Vec<KeyFile> {
        let (ensured, keys) = task.ensure(renew, &mut self.answers);
        self.done.ensured = ensured;
        self.reload |= !self.done.ensured.made.is_empty();
        if *renew != Renewal::OnlyBroken {
            self.note_renewed(&keys);
        }
        keys
    }

    /// Whether no key of another Instance is left, as far as sshd itself says which keys it has.
    fn is_renewal_whole(&self) -> bool {
        self.done.ensured.failed.is_empty() && self.is_sshd_known
    }

    /// Records what was made, if some keys could not be replaced or are not known.
    fn note_renewed(&mut self, keys: &[KeyFile]) {
        let Verdict::Another(instance) = &self.done.verdict else { return };
        let noted = if self.is_renewal_whole() {
            renewed_keys::forget(&self.places.renewed)
        } else {
            let made = keys.iter().filter(|key| self.done.ensured.new_files.contains(&key.path));
            self.renewed.extend(made.filter_map(key_in_use));
            renewed_keys::write(&self.places.renewed, instance, &self.renewed)
        };
        self.note(noted, &self.places.renewed);
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
        match process::reload(&self.places.sshd_pid, ask_systemd) {
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

    /// Writes for the daemon what sshd serves (invariant H3), and keeps OpenSSH's answers. What was written, if that worked.
    fn write_served(&mut self, task: &KeyStore<'_>, keys: &[KeyFile]) -> Option<ServedKeys> {
        let effective = task.rules.effective;
        let mut served = ServedKeys::of(effective, task.folder, keys);
        let plans = task.rules.plan(keys);
        served.problems.extend(problems::problems(keys, &plans, &self.done.ensured));
        if is_without_keys(&served, effective, task.folder) {
            let KeyProblem { what, remedy } = problems::no_usable_key(effective);
            self.done.troubles.push(format!("{what}: {remedy}"));
            served.problems.push(KeyProblem { what, remedy });
        }
        served.instance = self.confirmed(&served);
        let written = served.write(&self.places.served);
        let is_written = written.is_ok();
        self.note(written, &self.places.served);
        if let Err(why) = self.answers.save(&self.places.answers, &self.answers_before) {
            tracing::warn!(
                "OpenSSH's answers cannot be kept in {}, and so are asked for at the next boot: {why}",
                self.places.answers.display()
            );
        }
        is_written.then_some(served)
    }

    /// The Instance whose keys these are now. `None` while it is not known, and while it is not known that sshd serves these keys.
    fn confirmed(&self, served: &ServedKeys) -> Option<InstanceId> {
        if !self.is_sshd_known || self.places.requests.is_pending(SSHD_RELOAD) {
            return None;
        }
        let recorded = self.recorded.as_ref().map(|identity| &identity.instance);
        let instance = match &self.done.verdict {
            Verdict::Another(instance) if self.done.renewed => {
                let all_new = served.served().all(|key| !self.old.contains(&key.fingerprint()));
                Some(instance).filter(|_| all_new)
            }
            // Made in this boot, or kept as configured.
            Verdict::Another(instance) => Some(instance).filter(|_| self.may_record),
            Verdict::Unknown => self.evidence.metadata.as_ref().or(recorded),
            Verdict::Same | Verdict::Conflict(_) => recorded,
        };
        instance.cloned()
    }

    /// Whether somebody said in this pass which Instance this is, and nobody contradicts. A record alone may be another one's.
    fn is_instance_known(&self) -> bool {
        match self.done.verdict {
            Verdict::Same | Verdict::Another(_) => true,
            Verdict::Unknown => self.evidence.metadata.is_some(),
            Verdict::Conflict(_) => false,
        }
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
        let is_whole = !self.done.renewed || self.is_renewal_whole();
        if !self.may_record || !self.done.ensured.failed.is_empty() || !is_whole {
            return false;
        }
        let now = recordable(&self.evidence, &self.done.verdict);
        let Some(now) = now.filter(|now| self.recorded.as_ref() != Some(now)) else { return true };
        let written = record::write(&self.places.record, &now);
        let is_written = written.is_ok();
        self.done.troubles.extend(written.err().map(|why| why.to_string()));
        is_written
    }
}

/// What the console has not been told in this boot of the keys that are published; none where no OpenSSH server is enabled.
fn lines_to_tell(places: &HostKeyPaths, served: &ServedKeys) -> String {
    let mut lines = String::new();
    for key in served.served().filter(|_| served.instance.is_some()) {
        let _ = writeln!(lines, "host key {} {} ({})", key.bits, key.fingerprint(), key.type_name);
    }
    let told = files::read_bounded(&places.told, 64 * 1024).ok().flatten();
    if lines.is_empty()
        || told.as_deref() == Some(lines.as_bytes())
        || SshServer::look(&places.root) == SshServer::NotEnabled
    {
        return String::new();
    }
    // Where it cannot be noted, they are told again: that is no reason to fail.
    let _ = places.told.parent().map_or(Ok(()), files::private_subfolder);
    let _ = files::write_whole(&places.told, lines.as_bytes(), 0o600);
    lines
}

/// Whether there is an sshd that has no key to serve. What its agent holds may not be known yet.
fn is_without_keys(served: &ServedKeys, effective: &EffectiveHostKeys, folder: &Path) -> bool {
    let has_sshd = effective.source != ConfigSource::Names && folder.exists();
    has_sshd && effective.agent.is_none() && served.served().next().is_none()
}

/// Keeps for the second pass which keys the disk brought along: what came into being in this boot, by whomever it was made, is no
/// other Instance's.
fn remember_found(places: &HostKeyPaths, keys: &[KeyFile], new: &BTreeSet<PathBuf>) -> io::Result<()> {
    if places.found.exists() {
        return Ok(());
    }
    let old = keys.iter().filter(|key| !new.contains(&key.path));
    let found: BTreeSet<_> = old.filter_map(key_in_use).collect();
    write_for_boot(&places.found, &serde_json::to_vec(&found)?)
}

/// Whether one of the keys was on the disk before this boot. If that is not known, it was.
fn has_found_keys(places: &HostKeyPaths, keys: &[KeyFile]) -> bool {
    let bytes = files::read_bounded(&places.found, 256 * 1024).ok().flatten().unwrap_or_default();
    let Ok(found) = serde_json::from_slice::<BTreeSet<String>>(&bytes) else { return true };
    let is_unknown = |key: &KeyFile| match &key.private {
        Private::Unseen(_) => true,
        // What is no regular file is no key.
        Private::Unreadable(why) => why.kind() != io::ErrorKind::InvalidInput,
        _ => false,
    };
    keys.iter().any(|key| is_unknown(key) || key_in_use(key).is_some_and(|key| found.contains(&key)))
}

/// The fingerprint of the key that sshd may serve from this file or with its agent.
fn key_in_use(key: &KeyFile) -> Option<String> {
    key.loaded().or_else(|| key.held_by_agent()).map(|key| key.fingerprint())
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

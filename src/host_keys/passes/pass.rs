//! The state and the steps that the two passes share.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use crate::host_keys::key::key_type::KeyType;
use crate::host_keys::passes::earlier_keys::fingerprint_in_use;
use crate::host_keys::passes::report::PassReport;
use crate::host_keys::passes::settings::PassSettings;
use crate::host_keys::paths::{HostKeyPaths, SSHD_RELOAD};
use crate::host_keys::sshd::cache::OpensshAnswers;
use crate::host_keys::sshd::effective::EffectiveHostKeys;
use crate::host_keys::sshd::{process, query};
use crate::host_keys::store::apply::{KeyStore, KeysToReplace};
use crate::host_keys::store::key_file::KeyFile;
use crate::host_keys::store::key_group::KeyGroup;
use crate::host_keys::store::plan::Rules;
use crate::host_keys::store::served::LocalKeys;
use crate::host_keys::store::{old_keys, renewed_keys};
use crate::identity::dmi;
use crate::identity::record::{self, Identity, IdentityError};
use crate::identity::verdict::{Evidence, Verdict, judge};
use crate::metadata::api::instance::InstanceId;
use crate::util::program;

/// The state of a running pass.
pub(super) struct Pass<'a> {
    pub(super) paths: &'a HostKeyPaths,
    settings: PassSettings<'a>,
    /// The identity record, as it was when the pass started.
    pub(super) recorded: Option<Identity>,
    /// Whether the identity record may be written.
    pub(super) may_record: bool,
    pub(super) evidence: Evidence,
    pub(super) answers: OpensshAnswers,
    /// The answers as they were loaded, to see whether they changed.
    pub(super) loaded_answers: OpensshAnswers,
    /// Fingerprints of the keys that an earlier attempt of this renewal has made.
    renewed: BTreeSet<String>,
    /// Fingerprints of the keys that this renewal must replace.
    pub(super) to_replace: BTreeSet<String>,
    /// Whether sshd must read its keys again.
    must_reload: bool,
    /// Whether sshd answered which keys it has. If not, keys of another Instance may be among those that this pass does not know.
    pub(super) sshd_answered: bool,
    pub(super) report: PassReport,
}

impl<'a> Pass<'a> {
    /// Reads the identity record and OpenSSH's answers.
    pub(super) fn start(paths: &'a HostKeyPaths, settings: PassSettings<'a>) -> Self {
        let mut problems = Vec::new();
        let mut may_record = true;
        let recorded = record::read(&paths.record).unwrap_or_else(|why| {
            // A record that exists and cannot be read now may prove another Instance at the next boot. It must not be overwritten.
            may_record = matches!(why, IdentityError::SetAside(..));
            problems.push(why.to_string());
            None
        });
        let answers = OpensshAnswers::load(&paths.openssh_answers, program::stamp("ssh-keygen"));
        Self {
            paths,
            settings,
            recorded,
            may_record,
            evidence: Evidence::default(),
            loaded_answers: answers.clone(),
            answers,
            renewed: BTreeSet::new(),
            to_replace: BTreeSet::new(),
            must_reload: false,
            sshd_answered: true,
            report: PassReport { problems, ..PassReport::default() },
        }
    }

    /// Decides which Instance the disk belongs to, from the DMI data and the answer of the metadata service.
    pub(super) fn judge(&mut self, metadata: Option<InstanceId>) {
        if self.settings.is_on_platform {
            self.evidence = Evidence { dmi: dmi::instance(&self.paths.dmi), metadata };
        }
        self.report.verdict = judge(self.recorded.as_ref(), &self.evidence);
    }

    /// Asks sshd which host keys it is configured with.
    pub(super) fn query_sshd(&mut self) -> EffectiveHostKeys {
        let (effective, error) = query::effective(self.paths, &mut self.answers);
        self.sshd_answered = error.is_none();
        self.report.problems.extend(error.map(|why| why.to_string()));
        effective
    }

    /// The key store for these effective host keys.
    pub(super) fn key_store<'b>(&self, effective: &'b EffectiveHostKeys) -> KeyStore<'b>
    where
        'a: 'b,
    {
        key_store(self.paths, effective, self.settings.key_types, self.sshd_answered)
    }

    /// Prepares a renewal if the disk belongs to another Instance: saves the old public keys and notes that sshd must read the new ones.
    pub(super) fn start_renewal(&mut self, store: &KeyStore<'_>) -> Option<KeysToReplace> {
        let Verdict::Another(instance) = self.report.verdict.clone() else { return None };
        let files = store.inspect(&mut self.answers);
        self.renewed = renewed_keys::read(&self.paths.renewed_keys, &instance);
        let in_use = files.iter().filter_map(fingerprint_in_use);
        self.to_replace = in_use.filter(|fingerprint| !self.renewed.contains(fingerprint)).collect();
        let keys = LocalKeys::of(store.rules.effective, store.folder, &files).keys;
        match old_keys::save(&self.paths.old_keys, &keys) {
            Ok(set) => self.report.old_keys = set,
            Err(why) => self
                .report
                .problems
                .push(format!("cannot save the old public keys in {}: {why}", self.paths.old_keys.display())),
        }
        self.report.renewed = true;
        // Noted before the first key changes. If this process is killed before it signals sshd, the next run does it.
        self.note_pending_reload();
        Some(KeysToReplace::AllExcept(self.renewed.clone()))
    }

    /// Makes and repairs keys; returns the keys as they are afterwards.
    pub(super) fn make_keys(&mut self, store: &KeyStore<'_>, renewal: &KeysToReplace) -> Vec<KeyFile> {
        let (changes, keys) = store.make_and_repair(renewal, &mut self.answers);
        self.report.key_changes = changes;
        self.must_reload |= !self.report.key_changes.made.is_empty();
        if *renewal != KeysToReplace::Broken {
            self.save_renewed_keys(&keys);
        }
        keys
    }

    /// Whether no key of another Instance remains. That needs sshd's own answer about which keys it has.
    fn is_renewal_complete(&self) -> bool {
        self.report.key_changes.failed.is_empty() && self.sshd_answered
    }

    /// Saves which keys were made, if some keys could not be replaced or are not known.
    fn save_renewed_keys(&mut self, keys: &[KeyFile]) {
        let Verdict::Another(instance) = &self.report.verdict else { return };
        let saved = if self.is_renewal_complete() {
            renewed_keys::remove(&self.paths.renewed_keys)
        } else {
            let made = keys.iter().filter(|key| self.report.key_changes.new_files.contains(&key.path));
            self.renewed.extend(made.filter_map(fingerprint_in_use));
            renewed_keys::write(&self.paths.renewed_keys, instance, &self.renewed)
        };
        self.report_write_error(saved, &self.paths.renewed_keys);
    }

    fn note_pending_reload(&mut self) {
        self.must_reload = true;
        let noted = self.paths.requests.add_pending(SSHD_RELOAD);
        self.report_write_error(noted, &self.paths.requests.pending);
    }

    /// Has a running sshd read its keys again. If its configuration is broken, a later run does it.
    pub(super) fn reload_sshd(&mut self, ask_systemd: bool) {
        let is_pending = self.paths.requests.is_pending(SSHD_RELOAD);
        if !self.must_reload && !is_pending {
            return;
        }
        match process::reload(&self.paths.sshd_pid, ask_systemd) {
            Ok(_) => {
                let removed = self.paths.requests.remove_pending(SSHD_RELOAD);
                self.report_write_error(removed, &self.paths.requests.pending);
            }
            Err(why) => {
                self.report.problems.push(why.to_string());
                if !is_pending {
                    self.note_pending_reload();
                }
            }
        }
    }

    pub(super) fn report_write_error(&mut self, written: io::Result<()>, path: &Path) {
        if let Err(why) = written {
            self.report.problems.push(format!("cannot write {}: {why}", path.display()));
        }
    }

    /// The step after all keys: writes the identity record. Returns whether everything that the verdict requires is done and recorded.
    pub(super) fn finish(&mut self) -> bool {
        let pruned = old_keys::prune(&self.paths.old_keys, self.report.old_keys.as_deref());
        self.report_write_error(pruned, &self.paths.old_keys);
        let is_complete = !self.report.renewed || self.is_renewal_complete();
        if !self.may_record || !self.report.key_changes.failed.is_empty() || !is_complete {
            return false;
        }
        let identity = identity_to_record(&self.evidence, &self.report.verdict);
        let Some(identity) = identity.filter(|identity| self.recorded.as_ref() != Some(identity)) else {
            return true;
        };
        let written = record::write(&self.paths.record, &identity);
        let is_written = written.is_ok();
        self.report.problems.extend(written.err().map(|why| why.to_string()));
        is_written
    }
}

/// The key store of this machine.
pub(super) fn key_store<'a>(
    paths: &'a HostKeyPaths,
    effective: &'a EffectiveHostKeys,
    types: &'a [KeyType],
    sshd_answered: bool,
) -> KeyStore<'a> {
    let only_certified = fs::read_to_string(&paths.fips).is_ok_and(|text| text.trim() == "1");
    let rules = Rules { effective, types, only_certified };
    KeyStore { folder: &paths.keys, rules, group: KeyGroup::read(), sshd_answered }
}

/// The identity to record; `None` if it is not known.
fn identity_to_record(evidence: &Evidence, verdict: &Verdict) -> Option<Identity> {
    match verdict {
        // The metadata alone are not enough then.
        Verdict::Conflict(_) => None,
        // Proved by DMI data before the network was up.
        Verdict::Another(instance) if evidence.metadata.as_ref() != Some(instance) => {
            Some(Identity { instance: instance.clone(), dmi_names_instance: true })
        }
        _ => evidence.identity(),
    }
}

//! The last result of a pass: the file with the keys that sshd serves, for the daemon.

use std::path::Path;

use crate::host_keys::passes::pass::Pass;
use crate::host_keys::paths::SSHD_RELOAD;
use crate::host_keys::sshd::effective::{ConfigSource, EffectiveHostKeys};
use crate::host_keys::store::apply::KeyStore;
use crate::host_keys::store::key_file::KeyFile;
use crate::host_keys::store::problems;
use crate::host_keys::store::served::{KeyProblem, LocalKeys};
use crate::identity::verdict::Verdict;
use crate::metadata::api::instance::InstanceId;

impl Pass<'_> {
    /// Writes for the daemon which keys sshd serves (invariant H3), and saves OpenSSH's answers. Returns what was written; `None` if
    /// writing failed.
    pub(super) fn write_served_keys(&mut self, store: &KeyStore<'_>, keys: &[KeyFile]) -> Option<LocalKeys> {
        let effective = store.rules.effective;
        let mut served = LocalKeys::of(effective, store.folder, keys);
        let plans = store.rules.plan(keys);
        served.problems.extend(problems::problems(keys, &plans, &self.report.key_changes));
        if is_without_keys(&served, effective, store.folder) {
            let KeyProblem { what, remedy } = problems::no_usable_key(effective);
            self.report.problems.push(format!("{what}: {remedy}"));
            served.problems.push(KeyProblem { what, remedy });
        }
        served.instance = self.confirmed_instance(&served);
        let written = served.write(&self.paths.served);
        let is_written = written.is_ok();
        self.report_write_error(written, &self.paths.served);
        if let Err(why) = self.answers.save(&self.paths.openssh_answers, &self.loaded_answers) {
            tracing::warn!(
                "cannot save OpenSSH's answers in {}, so the next boot asks OpenSSH again: {why}",
                self.paths.openssh_answers.display()
            );
        }
        is_written.then_some(served)
    }

    /// The Instance that the served keys belong to. `None` while it is not known which Instance this is, or whether sshd serves these keys.
    fn confirmed_instance(&self, served: &LocalKeys) -> Option<InstanceId> {
        if !self.sshd_answered || self.paths.requests.is_pending(SSHD_RELOAD) {
            return None;
        }
        let recorded = self.recorded.as_ref().map(|identity| &identity.instance);
        let instance = match &self.report.verdict {
            Verdict::Another(instance) if self.report.renewed => {
                let all_new = served.served().all(|key| !self.to_replace.contains(&key.fingerprint()));
                Some(instance).filter(|_| all_new)
            }
            // The keys were made in this boot, or the configuration keeps them.
            Verdict::Another(instance) => Some(instance).filter(|_| self.may_record),
            Verdict::Unknown => self.evidence.metadata.as_ref().or(recorded),
            Verdict::Same | Verdict::Conflict(_) => recorded,
        };
        instance.cloned()
    }

    /// Whether DMI data or the metadata service reported in this pass which Instance this is, without a contradiction. The record alone is
    /// not enough: on a clone it is another Instance's.
    pub(super) fn is_instance_known(&self) -> bool {
        match self.report.verdict {
            Verdict::Same | Verdict::Another(_) => true,
            Verdict::Unknown => self.evidence.metadata.is_some(),
            Verdict::Conflict(_) => false,
        }
    }
}

/// Whether there is an sshd that has no key to serve. With an agent the answer is "no": its keys may not be known yet.
fn is_without_keys(served: &LocalKeys, effective: &EffectiveHostKeys, folder: &Path) -> bool {
    let has_sshd = effective.source != ConfigSource::Names && folder.exists();
    has_sshd && effective.agent.is_none() && served.served().next().is_none()
}

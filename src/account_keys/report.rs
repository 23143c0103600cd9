//! What the last run found and did, for `scw-agent ssh-keys show`, the status and the daemon. Everybody on the machine may read it, so it
//! has no key, and no comment that a person wrote on this machine: only what the metadata service tells everybody, and fingerprints.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::account_keys::accepted::AcceptedKeys;
use crate::account_keys::authorized_keys;
use crate::account_keys::decide::{Held, KeyDecision};
use crate::account_keys::key_sources::{KeySource, WantedKeys};
use crate::account_keys::managed_keys::{ManagedKey, ManagedKeys};
use crate::host_keys::store::served::{KeyProblem, write_for_boot};
use crate::util::state_file;
use crate::util::{files, printable};

const VERSION: u32 = 1;
const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// How many invalid keys are named.
const MAX_INVALID: usize = 20;

/// The document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct KeysReport {
    version: u32,
    /// A digest of the service's answer, by which the daemon sees that there is a new one. `None` without an answer.
    pub(crate) answer: Option<String>,
    /// Whether the run came to its end, so that the fields below are known.
    pub(crate) is_complete: bool,
    /// Why sshd does not read the managed keys; `None` if it does.
    pub(crate) not_in_force: Option<String>,
    /// The managed keys.
    pub(crate) keys: Vec<ReportedKey>,
    /// Lines of root's authorized_keys with a key that was removed from the account, the tags or instance_keys.
    pub(crate) removed_elsewhere: Vec<String>,
    /// Further problems.
    pub(crate) problems: Vec<String>,
}

/// A managed key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ReportedKey {
    pub(crate) fingerprint: String,
    /// The type, as `ssh-ed25519`.
    pub(crate) algorithm: String,
    pub(crate) comment: String,
    /// `None` for a key that somebody wrote into the file.
    pub(crate) source: Option<KeySource>,
    /// Why it stays although the owner does not list it any more.
    pub(crate) held: Option<String>,
    /// Whether sshd accepts keys of this type and size.
    pub(crate) accepted: bool,
}

impl KeysReport {
    /// The report of a run that could not do its work.
    pub(crate) fn failed(why: String) -> Self {
        Self { problems: vec![why], ..Self::default() }
    }

    /// Reads the report of this boot; `None` if there is none or it cannot be read.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let bytes = files::read_bounded(path, MAX_BYTES).ok()??;
        state_file::parse(&bytes, VERSION).ok()
    }

    /// What people and programs see of it.
    pub(crate) fn shown(&self) -> serde_json::Value {
        serde_json::json!({
            "in-force": self.is_complete.then(|| self.not_in_force.is_none()),
            "why-not-in-force": self.not_in_force,
            "keys": self.keys,
            "removed-elsewhere": self.removed_elsewhere,
            "problems": self.problems,
        })
    }

    /// Everything that a person should know or do, with the remedy.
    pub(crate) fn all_problems(&self) -> Vec<KeyProblem> {
        let problem = |what: String, remedy: &str| KeyProblem { what, remedy: remedy.to_owned() };
        let not_in_force = self.not_in_force.iter().map(|why| {
            problem(
                format!("sshd does not read the SSH keys of the owner: {why}"),
                "see `scw-agent ssh-keys show`",
            )
        });
        let held = self.keys.iter().filter_map(|key| {
            let why = key.held.as_ref()?;
            let what = format!("the SSH key {} is not listed any more and stays: {why}", key.fingerprint);
            Some(problem(what, &format!("`scw-agent ssh-keys remove {}` removes it", key.fingerprint)))
        });
        let elsewhere = self.removed_elsewhere.iter().map(|line| {
            problem(
                format!("an SSH key was removed by the owner and still lets root in: {line}"),
                "remove that line",
            )
        });
        let others = self.problems.iter();
        let others = others.map(|what| problem(what.clone(), "see `scw-agent ssh-keys show`"));
        not_in_force.chain(held).chain(elsewhere).chain(others).collect()
    }

    /// Sets the managed keys, and the problems of the answer.
    pub(crate) fn complete(&mut self, decision: &KeyDecision, wanted: &WantedKeys, accepted: &AcceptedKeys) {
        let why_held = |identity: &str| {
            let held = decision.held.iter().find(|(held, _)| held == identity);
            held.map(|(_, why)| text_of(*why).to_owned())
        };
        let reported = decision.keys.keys.iter().map(|key| ReportedKey {
            fingerprint: key.line.key().fingerprint(),
            algorithm: key.line.key().algorithm.clone(),
            comment: comment(key),
            source: key.source,
            held: why_held(&key.line.identity()),
            accepted: accepted.accepts(&key.line),
        });
        self.keys = reported.collect();
        self.is_complete = true;
        let invalid = wanted.invalid.iter().take(MAX_INVALID);
        self.problems.extend(invalid.map(|invalid| format!("{invalid}; the key is left out")));
        let further = wanted.invalid.len().saturating_sub(MAX_INVALID);
        if further > 0 {
            self.problems.push(format!("{further} further keys are left out"));
        }
    }

    /// Notes the lines of a person's file that have a removed key. A file of Scaleway's former package has only keys of the owner, so all
    /// that are not managed count.
    pub(crate) fn find_removed_keys(&mut self, file: &Path, keys: &ManagedKeys) {
        let name = file.display();
        let text = match authorized_keys::read(file) {
            Ok(text) => text,
            Err(why) => return self.problems.push(format!("{name}: {why}")),
        };
        let is_former = authorized_keys::is_of_former_package(&text);
        let managed = keys.fingerprints();
        let is_removed = |key: &String| keys.removed.contains(key) || is_former && !managed.contains(key);
        let lines = authorized_keys::lines_with(&text, is_removed).into_iter();
        self.removed_elsewhere.extend(lines.map(|(line, key)| format!("{name}:{line} {key}")));
        if is_former {
            self.problems.push(format!(
                "{name} is of Scaleway's former package; `scw-agent ssh-keys adopt` sets it aside"
            ));
        }
    }

    /// Writes it for everybody to read.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        write_for_boot(path, &serde_json::to_vec_pretty(&Self { version: VERSION, ..self.clone() })?)
    }
}

/// The comment, cut to a length that suits a list. What a person wrote on this machine is nobody else's business.
fn comment(key: &ManagedKey) -> String {
    match key.source {
        Some(KeySource::Account | KeySource::Tag) => printable::name(&key.line.key().comment),
        Some(KeySource::InstanceKeys) | None => String::new(),
    }
}

fn text_of(why: Held) -> &'static str {
    match why {
        Held::LastKey => "without it there may be no key with which root can log in",
        Held::EmptyList => "the metadata service lists no key of the account",
        Held::InvalidKey => "there is an invalid key, which may be this one",
        Held::EditedByHand => "somebody wrote it into the file",
    }
}

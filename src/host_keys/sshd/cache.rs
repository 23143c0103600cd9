//! A cache of OpenSSH's answers that lasts over boots: sshd's answer about its configuration, and ssh-keygen's answers about keys that this
//! program does not read itself.
//!
//! The cache only saves time. If an answer cannot be read, or anything that it depends on has changed, OpenSSH is asked again
//! (invariants D1, H3). The answer that a key is unusable is never cached.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::host_keys::key::public_key::PublicKey;
use crate::host_keys::sshd::effective::EffectiveHostKeys;
use crate::util::files;

const VERSION: u32 = 2;
const MAX_BYTES: u64 = 256 * 1024;

/// What identifies a version of a program's file.
pub(crate) type ProgramStamp = (u64, u64, i64, i64);

/// All answers, as they are stored in one file.
#[derive(Debug, Default, PartialEq, Eq, Clone, Serialize, Deserialize)]
pub(crate) struct OpensshAnswers {
    version: u32,
    sshd: Option<(String, EffectiveHostKeys)>,
    /// The ssh-keygen that gave the answers in the fields below.
    keygen: Option<ProgramStamp>,
    /// Public keys by the digest of the private key file.
    keys: BTreeMap<String, KeyText>,
    /// A group, and whether this OpenSSH loads a key that the group may read (0640).
    group_read: Option<(u32, bool)>,
    /// The digests that were looked up since the file was read. The other entries are dropped.
    #[serde(skip)]
    used: BTreeSet<String>,
}

/// A public key as text and as ssh-keygen lists it.
#[derive(Debug, PartialEq, Eq, Clone, Serialize, Deserialize)]
pub(crate) struct KeyText {
    /// `TYPE BASE64 COMMENT`.
    pub(crate) line: String,
    pub(crate) bits: usize,
    pub(crate) type_name: String,
}

impl From<&PublicKey> for KeyText {
    fn from(key: &PublicKey) -> Self {
        let line = format!("{} {}", key.key_text(), key.comment);
        Self { line: line.trim_end().to_owned(), bits: key.bits, type_name: key.type_name.clone() }
    }
}

impl KeyText {
    /// The key; `None` if the text is no public key.
    pub(crate) fn key(&self) -> Option<PublicKey> {
        PublicKey::parse(&self.line)
            .or_else(|_| PublicKey::parse_listed(&self.line, self.bits, &self.type_name))
            .ok()
    }
}

impl OpensshAnswers {
    /// Loads the answers. It drops them if they cannot be read, and those of another ssh-keygen.
    pub(crate) fn load(path: &Path, keygen: Option<ProgramStamp>) -> Self {
        let bytes = files::read_bounded(path, MAX_BYTES).ok().flatten().unwrap_or_default();
        let mut kept: Self = serde_json::from_slice(&bytes).unwrap_or_default();
        if kept.version != VERSION {
            kept = Self { version: VERSION, ..Self::default() };
        }
        if kept.keygen != keygen {
            (kept.keygen, kept.keys, kept.group_read) = (keygen, BTreeMap::new(), None);
        }
        kept
    }

    /// Saves the answers for later boots, if they differ from `before`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn save(&mut self, path: &Path, before: &Self) -> io::Result<()> {
        self.keys.retain(|digest, _| self.used.contains(digest));
        let changed =
            (&self.sshd, &self.keys, &self.group_read) != (&before.sshd, &before.keys, &before.group_read);
        if !changed {
            return Ok(());
        }
        path.parent().map_or(Ok(()), files::create_private_folder)?;
        files::write_atomic(path, &serde_json::to_vec(self)?, 0o600)
    }

    /// sshd's answer, if it was given for the same inputs.
    pub(crate) fn sshd(&self, inputs_digest: &str) -> Option<&EffectiveHostKeys> {
        self.sshd.as_ref().filter(|(asked, _)| asked == inputs_digest).map(|(_, answer)| answer)
    }

    pub(crate) fn set_sshd(&mut self, inputs_digest: String, answer: EffectiveHostKeys) {
        self.sshd = Some((inputs_digest, answer));
    }

    /// ssh-keygen's answer about the private key file with this digest.
    pub(crate) fn key(&mut self, digest: &str) -> Option<PublicKey> {
        let key = self.keys.get(digest)?.key()?;
        self.used.insert(digest.to_owned());
        Some(key)
    }

    pub(crate) fn set_key(&mut self, digest: String, key: &PublicKey) {
        self.used.insert(digest.clone());
        self.keys.insert(digest, key.into());
    }

    /// Whether OpenSSH loads a key that this group may read.
    pub(crate) fn group_read(&self, group: u32) -> Option<bool> {
        self.group_read.filter(|(asked, _)| *asked == group).map(|(_, loads)| loads)
    }

    pub(crate) fn set_group_read(&mut self, group: u32, loads: bool) {
        self.group_read = Some((group, loads));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::random;

    #[test]
    fn h3_answer_is_used_only_for_its_inputs() {
        let folder =
            std::env::temp_dir().join(format!("scw-agent-answers-{:x}", random::generator().u64(..)));
        let path = folder.join("answers.json");
        let keygen = Some((1, 2, 3, 4));
        let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB x";
        let key = PublicKey::parse(line).expect("a good key");
        let other = PublicKey::parse_listed("ssh-new AAAAB3NzaC1uZXcAAAAA y", 7, "NEW").expect("listed");

        let before = OpensshAnswers::load(&path, keygen);
        let mut answers = before.clone();
        answers.set_sshd("question".to_owned(), EffectiveHostKeys::by_name(Vec::new()));
        answers.set_key("one".to_owned(), &key);
        answers.set_key("two".to_owned(), &other);
        answers.save(&path, &before).expect("written");

        let mut kept = OpensshAnswers::load(&path, keygen);
        assert!(kept.sshd("question").is_some() && kept.sshd("another").is_none());
        assert_eq!((kept.key("one"), kept.key("two")), (Some(key), Some(other)));
        assert_eq!(kept.key("three"), None);
        let mut later = OpensshAnswers::load(&path, Some((1, 2, 3, 5)));
        assert_eq!(later.key("one"), None, "another ssh-keygen");
        assert!(later.sshd("question").is_some());

        // The entry of a key that was not looked up is dropped.
        let before = OpensshAnswers::load(&path, keygen);
        let mut answers = before.clone();
        let _ = answers.key("one");
        answers.save(&path, &before).expect("written");
        let mut kept = OpensshAnswers::load(&path, keygen);
        assert!(kept.key("one").is_some() && kept.key("two").is_none());
        std::fs::write(&path, "{").expect("written");
        assert_eq!(OpensshAnswers::load(&path, keygen).sshd("question"), None, "damaged");
        std::fs::remove_dir_all(folder).expect("removed");
    }
}

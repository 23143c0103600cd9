//! OpenSSH's answers, kept over boots: sshd's on its configuration, ssh-keygen's on keys that this program does not read itself.
//!
//! An answer saves a question, nothing else: one that cannot be read, or whose question changed, is asked again
//! (invariants D1, H3). That a key is unusable is never kept.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::host_keys::key::public_key::PublicKey;
use crate::host_keys::sshd::effective::EffectiveHostKeys;
use crate::util::files;

const VERSION: u32 = 2;
const MAX_BYTES: u64 = 256 * 1024;

/// What identifies a program's file.
pub(crate) type ProgramStamp = (u64, u64, i64, i64);

/// All answers, as they stand in one file.
#[derive(Debug, Default, PartialEq, Eq, Clone, Serialize, Deserialize)]
pub(crate) struct OpensshAnswers {
    version: u32,
    sshd: Option<(String, EffectiveHostKeys)>,
    /// The ssh-keygen that gave the answers below.
    keygen: Option<ProgramStamp>,
    /// By the digest of the private key file.
    keys: BTreeMap<String, KeyText>,
    /// The group whose members may read a key (0640) that this OpenSSH still loads; `false` where it refuses it.
    group_read: Option<(u32, bool)>,
    /// The keys that were asked for since the file was read; the others are dropped.
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
    /// The key; `None` where the text is none.
    pub(crate) fn key(&self) -> Option<PublicKey> {
        PublicKey::parse(&self.line)
            .or_else(|_| PublicKey::parse_listed(&self.line, self.bits, &self.type_name))
            .ok()
    }
}

impl OpensshAnswers {
    /// Those that were kept; none where they cannot be read, or another ssh-keygen gave them.
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

    /// Keeps them for later boots, where they changed since `before`.
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
        path.parent().map_or(Ok(()), files::private_folder)?;
        files::write_whole(path, &serde_json::to_vec(self)?, 0o600)
    }

    /// sshd's answer to this question.
    pub(crate) fn sshd(&self, question: &str) -> Option<&EffectiveHostKeys> {
        self.sshd.as_ref().filter(|(asked, _)| asked == question).map(|(_, answer)| answer)
    }

    pub(crate) fn set_sshd(&mut self, question: String, answer: EffectiveHostKeys) {
        self.sshd = Some((question, answer));
    }

    /// ssh-keygen's answer on the private key file with this digest.
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
    fn h3_an_answer_counts_only_for_its_question() {
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

        // Of a key that nobody asked for any more nothing is kept.
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

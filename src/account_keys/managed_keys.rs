//! The keys that the agent manages, as the text of the file or of the block that sshd reads. Pure.
//!
//! Before each key is a mark with its source and a checksum. A line without such a mark was written by a person, and stays (invariant K1).

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use crate::account_keys::key_line::KeyLine;
use crate::account_keys::key_sources::{KeySource, SourcedKey};
use crate::metadata::api::instance::InstanceId;

const FIRST_LINE: &str = "# Keys with which root may log in, version 1. scw-agent replaces this file: your own keys belong in\n\
    # /root/.ssh/authorized_keys or /root/.ssh/instance_keys.\n";
const INSTANCE: &str = "# Instance: ";
const SOURCE: &str = "# Source: ";
const REMOVED: &str = "# Removed: ";
/// How many removed keys are remembered, to find them elsewhere. The latest are kept.
const MAX_REMOVED: usize = 100;

/// The keys of the file, and which Instance they belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ManagedKeys {
    /// The Instance whose owner wanted them; `None` only if there are none.
    pub(crate) instance: Option<InstanceId>,
    pub(crate) keys: Vec<ManagedKey>,
    /// The fingerprints of keys that were in the file and were removed, in that order.
    pub(crate) removed: Vec<String>,
    /// Lines of persons that this program does not understand. sshd may.
    pub(crate) others: Vec<String>,
}

/// A key in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ManagedKey {
    pub(crate) line: KeyLine,
    /// `None` for a key that somebody wrote into the file.
    pub(crate) source: Option<KeySource>,
}

impl From<SourcedKey> for ManagedKey {
    fn from(key: SourcedKey) -> Self {
        Self { line: key.line, source: Some(key.source) }
    }
}

impl ManagedKeys {
    /// Whether there are keys that the owner of another Instance wanted.
    pub(crate) fn has_keys_of_another(&self, instance: &InstanceId) -> bool {
        self.instance.as_ref() != Some(instance) && self.keys.iter().any(|key| key.source.is_some())
    }

    /// The fingerprints of the keys.
    pub(crate) fn fingerprints(&self) -> BTreeSet<String> {
        self.keys.iter().map(|key| key.line.key().fingerprint()).collect()
    }

    /// The keys and lines of persons alone.
    pub(crate) fn of_persons(mut self) -> Self {
        self.keys.retain(|key| key.source.is_none());
        Self { instance: None, removed: Vec::new(), ..self }
    }

    /// Whether there is no key and no line of a person.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.others.is_empty()
    }

    /// Removes a key, and remembers that. Returns whether it was there.
    pub(crate) fn remove(&mut self, fingerprint: &str) -> bool {
        let before = self.keys.len();
        self.keys.retain(|key| key.line.key().fingerprint() != fingerprint);
        let is_removed = self.keys.len() < before;
        if is_removed {
            self.removed.push(fingerprint.to_owned());
        }
        is_removed
    }

    /// Reads the text of the file. Comments are left out.
    pub(crate) fn parse(text: &str) -> Self {
        let mut keys = Self::default();
        let mut mark = None;
        for text in text.lines() {
            let mark_above = mark.take();
            if let Some(id) = text.strip_prefix(INSTANCE) {
                keys.instance = InstanceId::try_from(id.to_owned()).ok();
            } else if let Some(fingerprint) = text.strip_prefix(REMOVED) {
                keys.removed.push(fingerprint.to_owned());
            } else if text.starts_with(SOURCE) {
                mark = Some(text);
            } else if let Ok(line) = KeyLine::parse(text) {
                let is_marked = |source: &KeySource| mark_above == Some(&keys.mark(*source, &line));
                let source = SOURCES.into_iter().find(is_marked);
                keys.keys.push(ManagedKey { line, source });
            } else if !text.trim().is_empty() && !text.trim_start().starts_with('#') {
                keys.others.push(text.to_owned());
            }
        }
        keys
    }

    /// The text of the file.
    pub(crate) fn text(&self) -> String {
        format!("{FIRST_LINE}{}", self.lines())
    }

    /// The lines with the keys, and all that [`ManagedKeys::parse`] needs.
    pub(crate) fn lines(&self) -> String {
        let mut text = String::new();
        if let Some(instance) = &self.instance {
            text += &format!("{INSTANCE}{}\n", instance.as_str());
        }
        for fingerprint in self.removed.iter().skip(self.removed.len().saturating_sub(MAX_REMOVED)) {
            text += &format!("{REMOVED}{fingerprint}\n");
        }
        for key in &self.keys {
            let mark = key.source.map_or_else(|| OTHER.to_owned(), |source| self.mark(source, &key.line));
            text += &format!("{mark}\n{}\n", key.line.text());
        }
        self.others.iter().for_each(|line| text += &format!("{line}\n"));
        text
    }

    /// Adds what another text of the same Instance has.
    pub(crate) fn join(mut self, other: Self) -> Self {
        self.instance = self.instance.or(other.instance);
        let known: BTreeSet<_> = self.keys.iter().map(|key| key.line.identity()).collect();
        self.keys.extend(other.keys.into_iter().filter(|key| !known.contains(&key.line.identity())));
        let removed: Vec<_> = other.removed.into_iter().filter(|it| !self.removed.contains(it)).collect();
        self.removed.extend(removed);
        let others: Vec<_> = other.others.into_iter().filter(|it| !self.others.contains(it)).collect();
        self.others.extend(others);
        self
    }

    /// The line before a key that the agent wrote.
    fn mark(&self, source: KeySource, line: &KeyLine) -> String {
        let instance = self.instance.as_ref().map_or("", InstanceId::as_str);
        let sum = checksum(&format!("{instance} {} {}", source.text(), line.text()));
        format!("{SOURCE}{} {sum}", source.text())
    }
}

/// The line before a key of a person.
const OTHER: &str = "# Written by hand:";
const SOURCES: [KeySource; 3] = [KeySource::Account, KeySource::Tag, KeySource::InstanceKeys];

/// A short checksum. It shows an edit, and proves nothing else.
pub(crate) fn checksum(text: &str) -> String {
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account_keys::key_line::tests::{key_text, line};

    fn keys() -> ManagedKeys {
        let sources = [Some(KeySource::Account), Some(KeySource::Tag), None, Some(KeySource::InstanceKeys)];
        let keys = (1..).zip(sources).map(|(number, source)| ManagedKey { line: line(number), source });
        ManagedKeys {
            instance: InstanceId::try_from("11111111-1111-4111-8111-111111111111".to_owned()).ok(),
            keys: keys.collect(),
            removed: vec!["SHA256:a".to_owned(), "SHA256:b".to_owned()],
            others: vec!["a-new-type AAAA x".to_owned()],
        }
    }

    #[test]
    fn k1_file_is_read_as_it_was_written() {
        for keys in [keys(), ManagedKeys::default()] {
            assert_eq!(ManagedKeys::parse(&keys.text()), keys);
        }
        let many = ManagedKeys { removed: (0..200).map(|n| n.to_string()).collect(), ..keys() };
        let read = ManagedKeys::parse(&many.text()).removed;
        assert_eq!((read.len(), &*read[MAX_REMOVED - 1]), (MAX_REMOVED, "199"));
    }

    #[test]
    fn k1_key_without_its_mark_is_a_persons() {
        let text = keys().text();
        let sources =
            |text: &str| -> Vec<_> { ManagedKeys::parse(text).keys.iter().map(|key| key.source).collect() };
        let [account, tag, own] = SOURCES.map(Some);
        assert_eq!(sources(&format!("{text}{} mine\n", key_text(9))), [account, tag, None, own, None]);
        assert_eq!(sources(&text.replace("# Source: tag", "# Source: account")), [account, None, None, own]);
        assert_eq!(sources(&text.replace("key 2", "other")), [account, None, None, own], "an edited comment");
        assert_eq!(
            sources(&text.replace("# Instance: 1", "# Instance: 2")),
            [None; 4],
            "of another Instance"
        );
        let others = vec!["\u{0}".to_owned(), "ssh-rsa x".to_owned()];
        let expected = ManagedKeys { others, ..ManagedKeys::default() };
        assert_eq!(ManagedKeys::parse("\u{0}\n # no key\n\nssh-rsa x\n"), expected);
    }
}

//! The keys that the owner wants on this machine: those of the account, those in tags, and those in root's `instance_keys`. Pure.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::account_keys::key_line::{KeyLine, KeyLineError};
use crate::metadata::api::owner_data::{KEY_TAG, OwnerData};

/// The most keys of one source.
const MAX_KEYS: usize = 1000;

/// Where a key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KeySource {
    /// A key of the account, in the metadata.
    Account,
    /// A tag `AUTHORIZED_KEY=` of the Instance.
    Tag,
    /// A line of `/root/.ssh/instance_keys`.
    InstanceKeys,
}

impl KeySource {
    /// Its name for people.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Tag => "tag",
            Self::InstanceKeys => "instance_keys",
        }
    }
}

/// A key and its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourcedKey {
    pub(crate) source: KeySource,
    pub(crate) line: KeyLine,
}

/// A key that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InvalidKey {
    pub(crate) source: KeySource,
    /// Its position among the keys of this source, from 1 on; for `instance_keys`, the number of the line.
    pub(crate) number: usize,
    pub(crate) why: KeyLineError,
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, why, .. } = self;
        match self.source {
            KeySource::Account => write!(f, "key {number} of the account: {why}"),
            KeySource::Tag => write!(f, "tag {number} with AUTHORIZED_KEY=: {why}"),
            KeySource::InstanceKeys => write!(f, "line {number} of instance_keys: {why}"),
        }
    }
}

/// The keys of all sources. No key is there twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WantedKeys {
    pub(crate) keys: Vec<SourcedKey>,
    pub(crate) invalid: Vec<InvalidKey>,
}

impl WantedKeys {
    /// Collects the keys.
    pub(crate) fn of(owner: &OwnerData, instance_keys: &str) -> Self {
        let mut wanted = Self::default();
        wanted.add(KeySource::Account, &owner.account_keys, KeyLine::without_options);
        // The owner's tools write each blank of a key as `_`. Only the comment may have had one itself.
        let tags = owner.tags.iter().filter_map(|tag| tag.strip_prefix(KEY_TAG));
        let tags: Vec<_> = tags.map(|key| key.replacen('_', " ", 2)).collect();
        wanted.add(KeySource::Tag, &tags, KeyLine::without_options);
        let lines: Vec<_> = instance_keys.lines().collect();
        wanted.add(KeySource::InstanceKeys, &lines, KeyLine::parse);
        wanted
    }

    /// Whether there is a key of this source.
    pub(crate) fn has(&self, source: KeySource) -> bool {
        self.keys.iter().any(|key| key.source == source)
    }

    /// Whether this source may have a key that cannot be read.
    pub(crate) fn has_invalid(&self, source: KeySource) -> bool {
        self.invalid.iter().any(|key| key.source == source)
    }

    /// What identifies each key.
    pub(crate) fn identities(&self) -> BTreeSet<String> {
        self.keys.iter().map(|key| key.line.identity()).collect()
    }

    fn add(
        &mut self,
        source: KeySource,
        texts: &[impl AsRef<str>],
        read: fn(&str) -> Result<KeyLine, KeyLineError>,
    ) {
        let mut known = self.identities();
        for (index, text) in texts.iter().map(AsRef::as_ref).enumerate() {
            let is_comment = text.trim().is_empty() || text.trim_start().starts_with('#');
            if is_comment && source == KeySource::InstanceKeys {
                continue;
            }
            if index >= MAX_KEYS {
                self.invalid.push(InvalidKey { source, number: index + 1, why: KeyLineError::TooMany });
                break;
            }
            match read(text) {
                Ok(line) if known.insert(line.identity()) => self.keys.push(SourcedKey { source, line }),
                Ok(_) => {}
                Err(why) => self.invalid.push(InvalidKey { source, number: index + 1, why }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account_keys::key_line::tests::key_text;

    #[test]
    fn keys_of_all_sources_are_joined_and_checked() {
        let (a, b, c) = (key_text(1), key_text(2), key_text(3));
        let owner = OwnerData {
            account_keys: vec![format!("{a} me@laptop\n"), format!("command=\"x\" {b}"), String::new()],
            tags: vec![
                "web".to_owned(),
                format!("AUTHORIZED_KEY={}_ci_deploy_key", b.replace(' ', "_")),
                "AUTHORIZED_KEY=todo".to_owned(),
                format!("XAUTHORIZED_KEY={c}"),
            ],
        };
        let wanted =
            WantedKeys::of(&owner, &format!("# note\n{a} again\nfrom=\"10.0.0.1\" {c} x\nssh-rsa\n"));
        let lines: Vec<_> = wanted.keys.iter().map(|key| (key.source, key.line.text())).collect();
        let expected = [
            (KeySource::Account, format!("{a} me@laptop")),
            (KeySource::Tag, format!("{b} ci_deploy_key")),
            (KeySource::InstanceKeys, format!("from=\"10.0.0.1\" {c} x")),
        ];
        assert_eq!(lines, expected);
        let invalid: Vec<_> = wanted.invalid.iter().map(|key| (key.source, key.number, key.why)).collect();
        let expected = [
            (KeySource::Account, 2, KeyLineError::Options),
            (KeySource::Account, 3, KeyLineError::NoKey),
            (KeySource::Tag, 2, KeyLineError::NoKey),
            (KeySource::InstanceKeys, 4, KeyLineError::NoKey),
        ];
        assert_eq!(invalid, expected);
    }
}

//! The file names of records. Pure.
//!
//! A file name has at most 255 bytes, and so has a key before it is percent-encoded. If the encoded key fits, the record has its name, as in
//! every version of the agent. Otherwise the name is a hash of the key, and the record contains the key.

use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::model::script::Digest;

/// The limit for the name of a file, in bytes.
const MAX_NAME_LEN: usize = 255;
const SUFFIX: &str = ".json";
/// What is between the key and the time in the name of a record that was set aside.
const SET_ASIDE_INFIX: &str = ".json.unreadable-";
/// The length of a [`crate::util::time::Moment`] as text.
const TIME_LEN: usize = "2026-01-01T00:00:00.000Z".len();
/// The length of what [`crate::util::files::write_atomic`] adds to the name while it writes the file.
const TEMPORARY_LEN: usize = "..new".len();
/// No key of a script begins with this, so no encoded key does.
const HASH_PREFIX: &str = "key-sha256-";

/// What the name of a record contains.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stem {
    /// The key itself.
    Key(UserDataKey),
    /// A hash of the key. The record contains the key.
    Hash,
}

/// The file name of a key's record.
pub(crate) fn of(key: &UserDataKey) -> String {
    format!("{}{SUFFIX}", stem_within(key, MAX_NAME_LEN - SUFFIX.len() - TEMPORARY_LEN))
}

/// The beginning of the names of this key's set-aside files. The time follows.
pub(crate) fn set_aside_prefix(key: &UserDataKey) -> String {
    format!("{}{SET_ASIDE_INFIX}", stem_within(key, MAX_NAME_LEN - SET_ASIDE_INFIX.len() - TIME_LEN))
}

/// Whether the name of the key's record is a hash.
pub(crate) fn is_hashed(key: &UserDataKey) -> bool {
    of(key).starts_with(HASH_PREFIX)
}

/// Parses a file's name. None if it is not the name of a record.
pub(crate) fn stem(name: &str) -> Option<Stem> {
    let stem = name.strip_suffix(SUFFIX).filter(|stem| !stem.starts_with('.'))?;
    if stem.starts_with(HASH_PREFIX) {
        return Some(Stem::Hash);
    }
    UserDataKey::from_path_segment(stem).ok().map(Stem::Key)
}

/// The encoded key if it has at most `max_len` bytes, otherwise its hash.
fn stem_within(key: &UserDataKey, max_len: usize) -> String {
    let encoded = key.to_path_segment();
    if encoded.len() <= max_len {
        encoded
    } else {
        format!("{HASH_PREFIX}{}", Digest::of(key.as_str().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::time::Moment;

    #[test]
    fn s1_record_name_fits_whatever_the_key() {
        let keys = [1, 200, 232, 233, 242]
            .map(|length| "x".repeat(length))
            .into_iter()
            .chain(["é".repeat(80), "é".repeat(121), "%/ ".repeat(80)])
            .map(|name| UserDataKey::new(&format!("setup-script.{name}")).expect("a good key"));
        let mut names = std::collections::BTreeSet::new();
        for key in keys {
            let name = of(&key);
            assert!(name.len() + TEMPORARY_LEN <= MAX_NAME_LEN && !name.contains('/'), "{name}");
            assert!(set_aside_prefix(&key).len() + Moment::now().to_string().len() <= MAX_NAME_LEN, "{key}");
            let parsed = stem(&name).expect("the name of a record");
            assert_eq!(parsed == Stem::Hash, is_hashed(&key), "{key}");
            assert!(parsed == Stem::Hash || parsed == Stem::Key(key.clone()), "{key}");
            assert!(names.insert(name), "{key} shares the name of another");
        }
    }

    #[test]
    fn s1_record_name_is_that_of_earlier_versions_where_it_fits() {
        for (key, name) in [
            ("setup-script".to_owned(), "setup-script.json".to_owned()),
            ("setup-script.é ü".to_owned(), "setup-script.%C3%A9%20%C3%BC.json".to_owned()),
            (format!("setup-script.{}", "x".repeat(232)), format!("setup-script.{}.json", "x".repeat(232))),
        ] {
            assert_eq!(of(&UserDataKey::new(&key).expect("a good key")), name);
        }
    }

    #[test]
    fn other_file_names_are_not_records() {
        for name in ["setup-script.json.unreadable-2026", ".setup-script.json.new", ".x.json", "x", ".json"] {
            assert_eq!(stem(name), None, "{name}");
        }
    }
}

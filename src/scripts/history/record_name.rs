//! The file names of records. Pure.
//!
//! A file name has at most 255 bytes, and a key has as many before it is percent-encoded. Where the encoded key fits, it is the name, as in
//! every version; otherwise the name is a hash of the key, and the record holds the key.

use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::model::script::Digest;

/// The longest name of a file, in bytes.
const LONGEST_NAME: usize = 255;
const ENDING: &str = ".json";
/// Stands between a record's name and the time at which it was set aside.
const ASIDE: &str = ".json.unreadable-";
/// As long as a [`crate::util::time::Moment`] is as text.
const TIME: usize = "2026-01-01T00:00:00.000Z".len();
/// What [`crate::util::files::write_whole`] adds to a name while it writes.
const WHILE_WRITING: usize = "..new".len();
/// No key of a script begins so, and so no encoded one does.
const HASHED: &str = "key-sha256-";

/// What the name of a record tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stem {
    /// The key itself.
    Key(UserDataKey),
    /// A hash of the key, which stands in the record.
    Hash,
}

/// The name of a key's record.
pub(crate) fn of(key: &UserDataKey) -> String {
    format!("{}{ENDING}", stem_within(key, LONGEST_NAME - ENDING.len() - WHILE_WRITING))
}

/// How the names of its records begin that were set aside; the time follows.
pub(crate) fn aside(key: &UserDataKey) -> String {
    format!("{}{ASIDE}", stem_within(key, LONGEST_NAME - ASIDE.len() - TIME))
}

/// Whether the record's name does not tell the key.
pub(crate) fn is_hashed(key: &UserDataKey) -> bool {
    of(key).starts_with(HASHED)
}

/// What a file's name tells, if it is the name of a record.
pub(crate) fn stem(name: &str) -> Option<Stem> {
    let stem = name.strip_suffix(ENDING).filter(|stem| !stem.starts_with('.'))?;
    if stem.starts_with(HASHED) {
        return Some(Stem::Hash);
    }
    UserDataKey::from_path_segment(stem).ok().map(Stem::Key)
}

fn stem_within(key: &UserDataKey, longest: usize) -> String {
    let encoded = key.to_path_segment();
    if encoded.len() <= longest {
        encoded
    } else {
        format!("{HASHED}{}", Digest::of(key.as_str().as_bytes()))
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
            assert!(name.len() + WHILE_WRITING <= LONGEST_NAME && !name.contains('/'), "{name}");
            assert!(aside(&key).len() + Moment::now().to_string().len() <= LONGEST_NAME, "{key}");
            let told = stem(&name).expect("the name of a record");
            assert_eq!(told == Stem::Hash, is_hashed(&key), "{key}");
            assert!(told == Stem::Hash || told == Stem::Key(key.clone()), "{key}");
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
    fn what_is_no_record_has_no_stem() {
        for name in ["setup-script.json.unreadable-2026", ".setup-script.json.new", ".x.json", "x", ".json"] {
            assert_eq!(stem(name), None, "{name}");
        }
    }
}

//! What all versioned state files have in common: a file that cannot be used is renamed, never overwritten (invariant D1).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::util::printable;
use crate::util::time::Moment;

/// The beginning of every state file.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Parses the JSON text of a state file of this `version`. The error says why it cannot be used; it quotes nothing of the text.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], version: u32) -> Result<T, String> {
    match serde_json::from_slice(bytes) {
        Ok(Versioned { version: found }) if found == version => {
            serde_json::from_slice(bytes).map_err(|why| printable::json_fault(&why))
        }
        // The rest of another version may look different.
        Ok(Versioned { version: found }) => {
            Err(format!("its version is {found}; this program reads version {version}"))
        }
        Err(why) => Err(printable::json_fault(&why)),
    }
}

/// Renames a file that cannot be used. Returns its new path.
pub(crate) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let new_path = path.with_extension(format!("json.unreadable-{}", Moment::now()));
    fs::rename(path, &new_path)?;
    Ok(new_path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq, Deserialize)]
    struct Example {
        name: String,
    }

    #[test]
    fn d1_other_version_is_reported_before_its_fields() {
        let parse = |text: &str| parse::<Example>(text.as_bytes(), 1);
        assert_eq!(parse(r#"{"version":1,"name":"a"}"#), Ok(Example { name: "a".to_owned() }));
        for (text, part) in [
            (r#"{"version":2}"#, "its version is 2"),
            (r#"{"version":1,"name":7}"#, "line 1"),
            (r#"{"name":"a"}"#, "line 1"),
            ("{", "line 1"),
        ] {
            let why = parse(text).expect_err(text);
            assert!(why.contains(part), "{text}: {why}");
        }
    }
}

//! The table of every key there is: what it is for, and its value as TOML. The help, the manual page, `config show`, and the
//! suggestions for a key that was misspelt are made of it. Pure.

use std::time::Duration;

use super::Settings;
use crate::metadata::UserDataKey;

/// One key of the configuration.
pub struct Key {
    /// The table it stands in, such as `host-keys`.
    pub section: &'static str,
    /// Its own name.
    pub name: &'static str,
    /// What it is for, in one sentence.
    pub about: &'static str,
    /// Its value in these settings, as TOML.
    pub value: fn(&Settings) -> String,
}

/// All keys, those of one section together.
pub const KEYS: &[Key] = &[
    Key {
        section: "host-keys",
        name: "types",
        about: "Which keys the machine must have, where sshd's own configuration does not name them: \"ecdsa\", \"ed25519\", \"rsa\".",
        value: |settings| {
            let names: Vec<_> = settings.key_types.iter().map(|key_type| format!("\"{key_type}\"")).collect();
            format!("[{}]", names.join(", "))
        },
    },
    Key {
        section: "host-keys",
        name: "regenerate",
        about: "When this disk has become another Instance's (a clone, a restored backup): \"new-instance\" makes all of them anew, \"never\" keeps them.",
        value: |settings| text(if settings.regenerate { "new-instance" } else { "never" }),
    },
    Key {
        section: "local-api",
        name: "read-group",
        about: "Besides root, the members of this group may ask the daemon: the status, metadata and user data. Empty: nobody.",
        value: |settings| text(settings.readers.as_deref().unwrap_or_default()),
    },
    Key {
        section: "local-api",
        name: "write-group",
        about: "The members of this group may also set and delete user data: that is, choose what runs as root. Empty: nobody.",
        value: |settings| text(settings.writers.as_deref().unwrap_or_default()),
    },
    Key {
        section: "metadata",
        name: "connect-timeout",
        about: "How long one request may take to be connected.",
        value: |settings| length(settings.limits.connect),
    },
    Key {
        section: "metadata",
        name: "headers-timeout",
        about: "From there to the headers of the answer.",
        value: |settings| length(settings.limits.headers),
    },
    Key {
        section: "metadata",
        name: "body-timeout",
        about: "From there to the end of the answer.",
        value: |settings| length(settings.limits.body),
    },
    Key {
        section: "metadata",
        name: "whole-timeout",
        about: "All of it, with a second try.",
        value: |settings| length(settings.limits.whole),
    },
    Key {
        section: "metadata",
        name: "look-again",
        about: "How often to look whether what is published is still true, give or take a fifth.",
        value: |settings| length(settings.look_again),
    },
    Key {
        section: "setup",
        name: "timeout",
        about: "How long an attempt of a script may take, if the script does not say.",
        value: |settings| length(settings.setup.timeout),
    },
    Key {
        section: "setup",
        name: "shutdown-timeout",
        about: "The same when the machine goes down, and how long all that runs then may take together: 10m at most.",
        value: |settings| length(settings.setup.shutdown_timeout),
    },
    Key {
        section: "setup",
        name: "on-change",
        about: "When a setup script whose content changed is run: at the \"next-boot\", \"now\" (when the daemon sees it), or \"never\".",
        value: |settings| text(settings.setup.on_change.as_str()),
    },
    Key {
        section: "setup",
        name: "outcome-key",
        about: "The user data key under which a boot's outcome is published. Empty: none.",
        value: |settings| text(settings.setup.outcome_key.as_ref().map_or("", UserDataKey::as_str)),
    },
];

fn length(length: Duration) -> String {
    text(&humantime::format_duration(length).to_string())
}

/// A string of JSON without control characters, which these values have none of, is one of TOML.
fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

/// The name that was likely meant: the nearest one, if it is near.
pub(super) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = word.chars().count().div_ceil(3).max(1);
    names
        .map(|name| (distance(word, name), name))
        .filter(|(far, _)| *far <= limit)
        .min_by_key(|(far, _)| *far)
        .map(|(_, name)| name)
}

/// How many letters must be changed, added, left out or exchanged with their neighbour.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let change = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_key_and_a_strange_word_finds_none() {
        let names = || KEYS.iter().map(|key| key.name);
        for (word, meant) in [
            ("timeuot", Some("timeout")),
            ("type", Some("types")),
            ("look_again", Some("look-again")),
            ("conect-timeout", Some("connect-timeout")),
            ("frobnicate", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, names()), meant, "{word}");
        }
    }
}

//! User data keys that look like the key of a script, for a hint to their owner. Without the hint, the owner waits for a
//! script that the agent does not see. Pure.
//!
//! Only the name decides; no value is read. A hint is not a problem in the status: such a key may be intended. The rule is
//! narrow, so that unrelated keys of the owner get no hint: a name must begin like the key that is likely meant.

use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::model::script::ScriptKind;
use crate::util::printable;
use crate::util::suggest::nearest;

/// The letters and digits of a key, the key that is likely meant, and the same key with a name after it.
const LIKELY_KEYS: [(&str, &str, &str); 6] = [
    ("setupscript", "setup-script", "setup-script.NAME"),
    ("startupscript", "startup-script", "startup-script.NAME"),
    ("shutdownscript", "shutdown-script", "shutdown-script.NAME"),
    ("cloudinit", "cloud-init", "cloud-init"),
    ("cloudconfig", "cloud-init", "cloud-init"),
    ("userdata", EITHER, EITHER),
];
/// Two keys; a message puts backticks around the complete text.
const EITHER: &str = "setup-script` or `cloud-init";
/// Keys for which one or two wrong letters are accepted. The other keys are shorter, and too many names are similar to them.
const MISSPELT_KEYS: [&str; 3] = ["setupscript", "startupscript", "shutdownscript"];
/// The highest number of keys that are reported.
const MAX_SUSPECT_KEYS: usize = 20;

/// The keys that look like the key of a script, at most 20 of them. `outcome`: the key to which the agent publishes the
/// outcome of a boot, if the configuration asks for it; it is never suspect.
pub(crate) fn suspect_keys(keys: &[UserDataKey], outcome: Option<&UserDataKey>) -> Vec<String> {
    let mut suspect = Vec::new();
    for key in keys {
        if Some(key) != outcome && suspect.len() < MAX_SUSPECT_KEYS && intended_key(key).is_some() {
            suspect.push(key.as_str().to_owned());
        }
    }
    suspect
}

/// The hint about a suspect key.
pub(crate) fn suspect_key_hint(key: &str) -> String {
    let intended = UserDataKey::new(key).ok().and_then(|key| intended_key(&key));
    let intended = intended.unwrap_or("setup-script");
    format!("{}: not the key of a script; did you mean `{intended}`?", printable::name(key))
}

/// The hint about keys that the agent cannot read, with their number. It does not contain their names, which may be
/// anything (invariant S3).
pub(crate) fn unusable_keys_hint(count: usize) -> String {
    format!("user data keys ignored because of unusable names: {count}")
}

/// The key that is likely meant. `None`: the key has a meaning for the agent, or is not similar to a script key.
pub(crate) fn intended_key(key: &UserDataKey) -> Option<&'static str> {
    if ScriptKind::of(key).is_some() || *key == UserDataKey::cloud_init() {
        return None;
    }
    // `letters`: all letters and digits, in lower case. `begin`: the key that the letters before the first sign stand for.
    let (mut letters, mut begin) = (String::new(), None);
    for c in key.as_str().chars() {
        if c.is_alphanumeric() {
            letters.push(c.to_ascii_lowercase());
        } else if begin.is_none() {
            begin = match (c, same_key(&letters)) {
                // `setup-scirpt.web`
                ('.', known) => known.or_else(|| misspelt_key(&letters)),
                // `setup-script-web`
                (_, known) => known.filter(|(_, named)| named.ends_with(".NAME")),
            };
        }
    }
    match (same_key(&letters), begin) {
        (Some((alone, _)), _) => Some(alone),
        (None, Some((_, named))) => Some(named),
        (None, None) => misspelt_key(&letters).map(|(alone, _)| alone),
    }
}

/// The key with these letters, also in the plural: alone, and with a name.
fn same_key(letters: &str) -> Option<(&'static str, &'static str)> {
    let letters = letters.strip_suffix('s').unwrap_or(letters);
    LIKELY_KEYS.into_iter().find(|(known, ..)| letters == *known).map(|(_, alone, named)| (alone, named))
}

/// The key with these letters except for one or two; the first letter must be right.
fn misspelt_key(letters: &str) -> Option<(&'static str, &'static str)> {
    // A cheap test first: most keys are not similar, and the edit distance is expensive to compute.
    let may_be_similar =
        |known: &&str| letters.starts_with(&known[..1]) && letters.len().abs_diff(known.len()) <= 2;
    nearest(letters, MISSPELT_KEYS.into_iter().filter(may_be_similar)).and_then(same_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETUP: Option<&str> = Some("setup-script");
    const NAMED: Option<&str> = Some("setup-script.NAME");
    const CLOUD_INIT: Option<&str> = Some("cloud-init");
    /// User data keys, and the key that is likely meant.
    const KEYS: [(&str, Option<&str>); 63] = [
        ("setup_script", SETUP),
        ("Setup-Script", SETUP),
        ("SETUP_SCRIPT", SETUP),
        ("setup-scripts", SETUP),
        ("setupscript", SETUP),
        ("setupScript", SETUP),
        ("setup.script", SETUP),
        ("setup script", SETUP),
        ("setup\u{2013}script", SETUP),
        ("setup-script.", SETUP),
        ("setup-script ", SETUP),
        ("set-up-script", SETUP),
        ("setup-scirpt", SETUP),
        ("setup-skript", SETUP),
        ("stup-script", SETUP),
        ("setup-script-web", NAMED),
        ("setup-script_10_web", NAMED),
        ("setup-script/web", NAMED),
        ("setup_script.web", NAMED),
        ("Setup-Script.web", NAMED),
        ("setup-scripts.web", NAMED),
        ("setup-scirpt.web", NAMED),
        ("startup_script", Some("startup-script")),
        ("start-up-script", Some("startup-script")),
        ("start_up_script_web", Some("startup-script.NAME")),
        ("shutdown_script", Some("shutdown-script")),
        ("shut-down-scripts", Some("shutdown-script")),
        ("cloud_init", CLOUD_INIT),
        ("cloudinit", CLOUD_INIT),
        ("Cloud-Init", CLOUD_INIT),
        ("cloud-init.yaml", CLOUD_INIT),
        ("cloud-config", CLOUD_INIT),
        ("user-data", Some(EITHER)),
        ("user_data", Some(EITHER)),
        ("userdata", Some(EITHER)),
        // Keys that have a meaning for the agent.
        ("setup-script", None),
        ("setup-script.web", None),
        ("setup-script.setup_script", None),
        ("startup-script", None),
        ("shutdown-script.x", None),
        ("cloud-init", None),
        ("ssh-host-fingerprints", None),
        // Unrelated keys of the owner.
        ("setup", None),
        ("startup", None),
        ("shutdown", None),
        ("script", None),
        ("scripts", None),
        ("setups", None),
        ("my-setup-script", None),
        ("my-setup-script-notes", None),
        ("no-setup-script", None),
        ("setup-scripting-language", None),
        ("setup-status", None),
        ("description", None),
        ("subscript", None),
        ("user-meta", None),
        ("user-database", None),
        ("cloud-id", None),
        ("cloud-init-done", None),
        ("colour", None),
        ("terraform", None),
        ("é", None),
        ("-", None),
    ];

    fn key(name: &str) -> UserDataKey {
        UserDataKey::new(name).expect("a good key")
    }

    #[test]
    fn s5_table_of_keys_like_a_scripts_key() {
        for (name, expected) in KEYS {
            assert_eq!(intended_key(&key(name)), expected, "{name}");
        }
    }

    #[test]
    fn s3_suspect_keys_are_bounded_and_escaped() {
        let many: Vec<_> = (0..100).map(|n| key(&format!("setup_script_{n}"))).collect();
        assert_eq!(suspect_keys(&many, None).len(), MAX_SUSPECT_KEYS);
        let hidden = suspect_keys(&[key("setup\u{202e}script")], None);
        assert!(suspect_key_hint("user-data").ends_with("did you mean `setup-script` or `cloud-init`?"));
        let hint = suspect_key_hint(hidden.first().expect("suspect"));
        assert_eq!(hint, "setup\\u{202e}script: not the key of a script; did you mean `setup-script`?");
        let outcome = key("setup-script-outcome");
        assert_eq!(suspect_keys(std::slice::from_ref(&outcome), Some(&outcome)), Vec::<String>::new());
    }
}

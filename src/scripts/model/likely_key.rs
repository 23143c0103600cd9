//! User data keys that are nearly a script's: for a hint to their owner, who otherwise waits for a script that nobody sees. Pure.
//!
//! Names alone decide; no value is read for this. A hint is no problem: such a key may be meant as it is. The rule is narrow, so that names
//! that are the owner's own get none: a name must begin like the one that is likely meant.

use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::model::script::ScriptKind;
use crate::util::printable;
use crate::util::suggest::nearest;

/// Letters and digits of a name, and the keys that are likely meant: alone, and with a name behind it.
const MEANT: [(&str, &str, &str); 6] = [
    ("setupscript", "setup-script", "setup-script.NAME"),
    ("startupscript", "startup-script", "startup-script.NAME"),
    ("shutdownscript", "shutdown-script", "shutdown-script.NAME"),
    ("cloudinit", "cloud-init", "cloud-init"),
    ("cloudconfig", "cloud-init", "cloud-init"),
    ("userdata", EITHER, EITHER),
];
/// Within the signs that a message puts around one key.
const EITHER: &str = "setup-script` or `cloud-init";
/// Of these, a name may also be a slip or two away. The others are shorter, and too much is near to them.
const SCRIPTS: [&str; 3] = ["setupscript", "startupscript", "shutdownscript"];
/// More are not named.
const MOST: usize = 20;

/// Those among these keys; at most 20. `outcome` is the key that the agent writes because the administrator wants it.
pub(crate) fn suspect_keys(keys: &[UserDataKey], outcome: Option<&UserDataKey>) -> Vec<String> {
    let mut found = Vec::new();
    for key in keys {
        if Some(key) != outcome && found.len() < MOST && meant(key).is_some() {
            found.push(key.as_str().to_owned());
        }
    }
    found
}

/// What to tell a person of such a key.
pub(crate) fn hint(key: &str) -> String {
    let meant = UserDataKey::new(key).ok().and_then(|key| meant(&key));
    let meant = meant.unwrap_or("setup-script");
    format!("{}: not the key of a script; did you mean `{meant}`?", printable::name(key))
}

/// What to tell a person of so many keys that cannot be asked for. Their names may hold anything (S3).
pub(crate) fn unusable(count: usize) -> String {
    format!("keys of user data that are passed over, since their names cannot be used: {count}")
}

/// The key that is likely meant by a key that stands for nothing.
pub(crate) fn meant(key: &UserDataKey) -> Option<&'static str> {
    if ScriptKind::of(key).is_some() || *key == UserDataKey::cloud_init() {
        return None;
    }
    // Letters and digits in lower case, and what they are up to the first sign that ends a known name.
    let (mut letters, mut begin) = (String::new(), None);
    for c in key.as_str().chars() {
        if c.is_alphanumeric() {
            letters.push(c.to_ascii_lowercase());
        } else if begin.is_none() {
            begin = match (c, same(&letters)) {
                // `setup-scirpt.web`
                ('.', known) => known.or_else(|| near(&letters)),
                // `setup-script-web`
                (_, known) => known.filter(|(_, named)| named.ends_with(".NAME")),
            };
        }
    }
    match (same(&letters), begin) {
        (Some((alone, _)), _) => Some(alone),
        (None, Some((_, named))) => Some(named),
        (None, None) => near(&letters).map(|(alone, _)| alone),
    }
}

/// Written in another way, or as a plural.
fn same(letters: &str) -> Option<(&'static str, &'static str)> {
    let letters = letters.strip_suffix('s').unwrap_or(letters);
    MEANT.into_iter().find(|(known, ..)| letters == *known).map(|(_, alone, named)| (alone, named))
}

/// A slip or two away, behind the first letter.
fn near(letters: &str) -> Option<(&'static str, &'static str)> {
    // Most keys are nothing of the kind, and a distance is dear.
    let may_be = |known: &&str| letters.starts_with(&known[..1]) && letters.len().abs_diff(known.len()) <= 2;
    nearest(letters, SCRIPTS.into_iter().filter(may_be)).and_then(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> UserDataKey {
        UserDataKey::new(name).expect("a good key")
    }

    #[test]
    fn s5_table_of_keys_that_are_nearly_a_scripts() {
        const SETUP: Option<&str> = Some("setup-script");
        const NAMED: Option<&str> = Some("setup-script.NAME");
        const CLOUD_INIT: Option<&str> = Some("cloud-init");
        for (name, expected) in [
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
            // Keys that have a meaning.
            ("setup-script", None),
            ("setup-script.web", None),
            ("setup-script.setup_script", None),
            ("startup-script", None),
            ("shutdown-script.x", None),
            ("cloud-init", None),
            ("ssh-host-fingerprints", None),
            // The owner's own.
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
        ] {
            assert_eq!(meant(&key(name)), expected, "{name}");
        }
    }

    #[test]
    fn s3_suspect_keys_are_bounded_and_escaped() {
        let many: Vec<_> = (0..100).map(|n| key(&format!("setup_script_{n}"))).collect();
        assert_eq!(suspect_keys(&many, None).len(), MOST);
        let hidden = suspect_keys(&[key("setup\u{202e}script")], None);
        assert!(hint("user-data").ends_with("did you mean `setup-script` or `cloud-init`?"));
        let said = hint(hidden.first().expect("suspect"));
        assert_eq!(said, "setup\\u{202e}script: not the key of a script; did you mean `setup-script`?");
        let outcome = key("setup-script-outcome");
        assert_eq!(suspect_keys(std::slice::from_ref(&outcome), Some(&outcome)), Vec::<String>::new());
    }
}

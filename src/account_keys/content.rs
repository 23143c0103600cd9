//! The text of root's `authorized_keys`: the account's keys, those in tags, and those that the owner keeps in `instance_keys`. Pure.

use crate::metadata::api::owner_data::OwnerData;

/// The first line. It shows that this program wrote the file.
pub(crate) const FIRST_LINE: &str =
    "# This file is replaced at each boot and by scw-fetch-ssh-keys --upgrade. Do not edit it.";
const HELP: &str = "# Add keys to your account (https://console.scaleway.com), as a tag AUTHORIZED_KEY=… of the Instance with `_` in place of\n\
    # spaces, or as lines of /root/.ssh/instance_keys.\n";
/// The name of a tag with a key.
const TAG: &str = "AUTHORIZED_KEY=";

/// The text, and how many keys it has and which were left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AuthorizedKeys {
    pub(crate) text: String,
    pub(crate) keys: usize,
    /// How many keys have a control character. A line break in a key would be a line of its own.
    pub(crate) skipped: usize,
}

/// The content for these keys, and for the lines of `instance_keys`.
pub(crate) fn content(owner: &OwnerData, instance_keys: &str) -> AuthorizedKeys {
    let mut content = AuthorizedKeys { text: format!("{FIRST_LINE}\n{HELP}"), keys: 0, skipped: 0 };
    content.add(owner.account_keys.iter().cloned());
    let tags = owner.tags.iter().filter_map(|tag| tag.strip_prefix(TAG));
    content.add(tags.map(|key| key.replace('_', " ")));
    let own: Vec<_> = instance_keys.lines().filter(|line| !line.starts_with('#')).collect();
    if own.iter().any(|line| !line.trim().is_empty()) {
        content.text.push_str("# from /root/.ssh/instance_keys\n");
        content.add(own.into_iter().map(str::to_owned));
    }
    content
}

impl AuthorizedKeys {
    fn add(&mut self, keys: impl Iterator<Item = String>) {
        for key in keys {
            let key = key.trim_matches([' ', '\t', '\r', '\n']);
            if key.is_empty() {
                continue;
            }
            if key.contains(|c: char| c.is_control() && c != '\t') {
                self.skipped += 1;
                continue;
            }
            self.text.push_str(&format!("{key}\n"));
            self.keys += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(account_keys: &[&str], tags: &[&str]) -> OwnerData {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        OwnerData { account_keys: owned(account_keys), tags: owned(tags) }
    }

    fn keys(content: &AuthorizedKeys) -> Vec<&str> {
        content.text.lines().filter(|line| !line.starts_with('#')).collect()
    }

    #[test]
    fn keys_of_account_tags_and_instance_keys_are_joined() {
        let owner = owner(
            &["ssh-ed25519 AAAA me@laptop\n", ""],
            &["web", "AUTHORIZED_KEY=ssh-rsa_BBBB_ci_1", "XAUTHORIZED_KEY=no", "AUTHORIZED_KEY="],
        );
        let content = content(&owner, "# a note\nssh-rsa CCCC it's\r\n\n");
        assert_eq!(keys(&content), ["ssh-ed25519 AAAA me@laptop", "ssh-rsa BBBB ci 1", "ssh-rsa CCCC it's"]);
        assert_eq!((content.keys, content.skipped), (3, 0));
        assert!(content.text.starts_with(FIRST_LINE));
    }

    #[test]
    fn key_with_a_line_break_is_left_out() {
        let owner =
            owner(&["ssh-rsa A\nssh-rsa EVIL", "ssh-rsa\u{0}A", "ssh-rsa\tB"], &["AUTHORIZED_KEY=a\rb"]);
        let content = content(&owner, "");
        assert_eq!((keys(&content), content.skipped), (vec!["ssh-rsa\tB"], 3));
    }

    #[test]
    fn no_keys_at_all_are_counted_as_none() {
        assert_eq!(content(&owner(&[], &["x"]), "# only a note\n").keys, 0);
    }
}

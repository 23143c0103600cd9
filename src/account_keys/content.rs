//! The text of root's `authorized_keys`: the account's keys, those in tags, and those that the owner keeps in `instance_keys`. Pure.

use sha2::{Digest as _, Sha256};

use crate::metadata::api::owner_data::{KEY_TAG, OwnerData};

/// The first line, before the checksum of the lines below it, which shows whether the file is as this program wrote it.
const FIRST_LINE: &str = "# scw-fetch-ssh-keys replaces this file at each boot. Checksum: ";
const HELP: &str = "# Add keys to your account (https://console.scaleway.com), as a tag AUTHORIZED_KEY=… of the Instance with `_` in place of\n\
    # spaces, or as lines of /root/.ssh/instance_keys.\n";

/// The text, and how many keys it has and which were left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AuthorizedKeys {
    pub(crate) text: String,
    /// How many lines have a key.
    pub(crate) keys: usize,
    /// How many keys have a control character. A line break in a key would be a line of its own.
    pub(crate) skipped: usize,
}

/// The content for these keys, and for the lines of `instance_keys`.
pub(crate) fn content(owner: &OwnerData, instance_keys: &str) -> AuthorizedKeys {
    let mut content = AuthorizedKeys { text: HELP.to_owned(), keys: 0, skipped: 0 };
    content.add(owner.account_keys.iter().cloned());
    let tags = owner.tags.iter().filter_map(|tag| tag.strip_prefix(KEY_TAG));
    content.add(tags.map(|key| key.replace('_', " ")));
    let own: Vec<_> = instance_keys.lines().filter(|line| !line.starts_with('#')).collect();
    if own.iter().any(|line| !line.trim().is_empty()) {
        content.text.push_str("# from /root/.ssh/instance_keys\n");
        content.add(own.into_iter().map(str::to_owned));
    }
    content.text = format!("{FIRST_LINE}{}\n{}", checksum(&content.text), content.text);
    content
}

/// Whether the text of a file is one that this program wrote, and nobody has edited it.
pub(crate) fn is_unedited(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let written =
        text.split_once('\n').and_then(|(first, rest)| Some((first.strip_prefix(FIRST_LINE)?, rest)));
    written.is_some_and(|(sum, rest)| sum == checksum(rest))
}

fn checksum(text: &str) -> String {
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether sshd can take a key from the line: it has the name of a key type, after options or at its beginning, and then base64.
fn has_key(line: &str) -> bool {
    let words: Vec<_> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
    let is_type = |word: &str| {
        ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|kind| word.starts_with(kind))
    };
    let is_blob = |word: &str| {
        word.len() >= 16 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
    };
    !line.trim_start().starts_with('#') && words.windows(2).any(|pair| is_type(pair[0]) && is_blob(pair[1]))
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
            self.keys += usize::from(has_key(key));
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
            &["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me@laptop\n", ""],
            &[
                "web",
                "AUTHORIZED_KEY=ssh-rsa_BBBBC3NzaC1lZDI1NTE5_ci_1",
                "XAUTHORIZED_KEY=no",
                "AUTHORIZED_KEY=",
            ],
        );
        let content = content(&owner, "# a note\nssh-rsa CCCCC3NzaC1lZDI1NTE5 it's\r\n\n");
        assert_eq!(
            keys(&content),
            [
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me@laptop",
                "ssh-rsa BBBBC3NzaC1lZDI1NTE5 ci 1",
                "ssh-rsa CCCCC3NzaC1lZDI1NTE5 it's"
            ]
        );
        assert_eq!((content.keys, content.skipped), (3, 0));
        assert!(
            is_unedited(content.text.as_bytes()) && content.text.starts_with("# scw-fetch-ssh-keys replaces")
        );
        for edited in
            [format!("{}ssh-rsa DDDD\n", content.text), content.text.replace("laptop", "desk"), String::new()]
        {
            assert!(!is_unedited(edited.as_bytes()), "{edited}");
        }
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
        for tags in [&["x"][..], &["AUTHORIZED_KEY=todo"], &["AUTHORIZED_KEY=#_ssh-rsa_BBBBC3NzaC1lZDI1NTE5"]]
        {
            assert_eq!(
                content(&owner(&[], tags), "# only a note\n # another\nssh-rsa short\n").keys,
                0,
                "{tags:?}"
            );
        }
        assert_eq!(content(&owner(&["ssh-ed25519 \t AAAAC3NzaC1lZDI1NTE5"], &[]), "").keys, 1, "two blanks");
        let with_options = "from=\"10.0.0.1\",command=\"a b\" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 x";
        assert_eq!(content(&owner(&[with_options], &[]), "").keys, 1);
    }
}

//! The text of root's `authorized_keys`: the account's keys, those in tags, and those that the owner keeps in `instance_keys`. Pure.
//!
//! An account without keys in the metadata removes nothing (invariant K2): that is also what a platform in trouble may answer.

use sha2::{Digest as _, Sha256};

use crate::metadata::api::owner_data::OwnerData;

/// The first line, before the checksum of the lines below it, which shows whether the file is as this program wrote it.
const FIRST_LINE: &str = "# scw-fetch-ssh-keys replaces this file at each boot. Checksum: ";
const HELP: &str = "# Add keys to your account (https://console.scaleway.com), as a tag AUTHORIZED_KEY=… of the Instance with `_` in place of\n\
    # spaces, or as lines of /root/.ssh/instance_keys.\n";
/// The line before the keys of each origin.
const FROM_ACCOUNT: &str = "# from the account";
const FROM_TAGS: &str = "# from tags";
const FROM_INSTANCE_KEYS: &str = "# from /root/.ssh/instance_keys";
/// The name of a tag with a key.
const TAG: &str = "AUTHORIZED_KEY=";

/// The text, and how many keys it has and which were left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AuthorizedKeys {
    pub(crate) text: String,
    /// How many lines have a key.
    pub(crate) keys: usize,
    /// How many keys have a control character. A line break in a key would be a line of its own.
    pub(crate) skipped: usize,
    /// How many of them the account had at the last answer, and has not in this one. If there are no others, the file is not replaced.
    pub(crate) kept: usize,
    /// Whether the old file must stay: it has keys of another program or person, and the account has none.
    pub(crate) leaves_old_file: bool,
}

/// The content for these keys, for the lines of `instance_keys`, and in place of `old`, the present text of the file.
pub(crate) fn content(owner: &OwnerData, instance_keys: &str, old: &str) -> AuthorizedKeys {
    let mut content =
        AuthorizedKeys { text: HELP.to_owned(), keys: 0, skipped: 0, kept: 0, leaves_old_file: false };
    content.add(FROM_ACCOUNT, owner.account_keys.iter().cloned());
    if content.keys == 0 {
        content.add(FROM_ACCOUNT, account_lines(old).map(str::to_owned));
        content.kept = content.keys;
        content.leaves_old_file = !old.starts_with(FIRST_LINE) && old.lines().any(has_key);
    }
    let tags = owner.tags.iter().filter_map(|tag| tag.strip_prefix(TAG));
    content.add(FROM_TAGS, tags.map(|key| key.replace('_', " ")));
    let own = instance_keys.lines().filter(|line| !line.starts_with('#'));
    content.add(FROM_INSTANCE_KEYS, own.map(str::to_owned));
    content.text = format!("{FIRST_LINE}{}\n{}", checksum(&content.text), content.text);
    content
}

/// The lines of the account in a text that this program wrote.
fn account_lines(text: &str) -> impl Iterator<Item = &str> {
    let from_account = text.lines().skip_while(|line| *line != FROM_ACCOUNT).skip(1);
    from_account
        .take_while(|line| ![FROM_TAGS, FROM_INSTANCE_KEYS].contains(line))
        .filter(|line| has_key(line))
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
    let words: Vec<_> = line.split([' ', '\t']).collect();
    let is_type = |word: &str| {
        ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|kind| word.starts_with(kind))
    };
    let is_blob = |word: &str| {
        word.len() >= 16 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
    };
    !line.starts_with('#') && words.windows(2).any(|pair| is_type(pair[0]) && is_blob(pair[1]))
}

impl AuthorizedKeys {
    fn add(&mut self, origin: &str, keys: impl Iterator<Item = String>) {
        let before = self.text.len();
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
        if self.text.len() > before {
            self.text.insert_str(before, &format!("{origin}\n"));
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
        let content = content(&owner, "# a note\nssh-rsa CCCCC3NzaC1lZDI1NTE5 it's\r\n\n", "");
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
        let content = content(&owner, "", "");
        assert_eq!((keys(&content), content.skipped), (vec!["ssh-rsa\tB"], 3));
    }

    #[test]
    fn no_keys_at_all_are_counted_as_none() {
        for tags in [&["x"][..], &["AUTHORIZED_KEY=todo"], &["AUTHORIZED_KEY=#_ssh-rsa_BBBBC3NzaC1lZDI1NTE5"]]
        {
            assert_eq!(
                content(&owner(&[], tags), "# only a note\n # another\nssh-rsa short\n", "").keys,
                0,
                "{tags:?}"
            );
        }
        let with_options = "from=\"10.0.0.1\",command=\"a b\" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 x";
        assert_eq!(content(&owner(&[with_options], &[]), "", "").keys, 1);
    }

    #[test]
    fn account_without_keys_removes_nothing() {
        const ACCOUNT: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me@laptop";
        const TAG_KEY: &str = "ssh-rsa BBBBC3NzaC1lZDI1NTE5 ci";
        let tag = format!("AUTHORIZED_KEY={}", TAG_KEY.replace(' ', "_"));
        let first = content(&owner(&[ACCOUNT], &[&tag]), "ssh-rsa CCCCC3NzaC1lZDI1NTE5", "");
        // The tag and the own key are removed, and at each boot the account has no keys.
        let mut old = first.text.clone();
        for _ in 0..3 {
            let later = content(&owner(&[], &[]), "", &old);
            assert_eq!((keys(&later), later.kept, later.leaves_old_file), (vec![ACCOUNT], 1, false));
            old = later.text;
        }
        let edited = old.replace("me@laptop", "me@desk");
        let edited = content(&owner(&[], &[&tag]), "", &edited);
        assert_eq!(keys(&edited), [ACCOUNT.replace("laptop", "desk"), TAG_KEY.to_owned()]);
        for (foreign, stays) in [(ACCOUNT, true), ("# a note\n", false), ("", false)] {
            let content = content(&owner(&[], &[&tag]), "", foreign);
            assert_eq!((content.leaves_old_file, content.kept), (stays, 0), "{foreign}");
        }
        // An answer with keys decides.
        let other = content(&owner(&[TAG_KEY], &[]), "", &first.text);
        assert_eq!((keys(&other), other.kept, other.leaves_old_file), (vec![TAG_KEY], 0, false));
        assert!(!content(&owner(&[TAG_KEY], &[]), "", ACCOUNT).leaves_old_file);
    }
}

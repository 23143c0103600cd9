//! What the files of authorized keys that belong to persons have. Nothing is written here.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::account_keys::key_line::KeyLine;
use crate::util::files;

/// The most that is read of a file.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The numbers of the lines with a key whose fingerprint is looked for.
pub(crate) fn lines_with(text: &str, is_looked_for: impl Fn(&String) -> bool) -> Vec<(usize, String)> {
    let lines = text.lines().enumerate();
    let found = lines.filter_map(|(index, line)| {
        let fingerprint = KeyLine::parse(line).ok()?.key().fingerprint();
        is_looked_for(&fingerprint).then_some((index + 1, fingerprint))
    });
    found.collect()
}

/// The lines that a text does not have yet.
pub(crate) fn missing_in<'a>(text: &str, lines: impl Iterator<Item = &'a KeyLine>) -> Vec<&'a KeyLine> {
    let present = text.lines().filter_map(|line| KeyLine::parse(line).ok());
    let present: BTreeSet<_> = present.map(|line| line.identity()).collect();
    lines.filter(|line| !present.contains(&line.identity())).collect()
}

/// The text of a file; empty if there is none.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let bytes = files::read_bounded(path, MAX_BYTES)?;
    Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
}

/// Whether the text says at its beginning that Scaleway's former package writes it anew at each boot.
pub(crate) fn is_of_former_package(text: &str) -> bool {
    let head: String =
        text.lines().take_while(|line| line.trim().is_empty() || line.starts_with('#')).collect();
    head.contains("erased at every boot") && head.contains("scw-fetch-ssh-keys")
}

/// The file of root that a pattern of sshd names. `None` if it names several, or one that other users have, too.
pub(crate) fn file_of_root(pattern: &str, home: &Path) -> Option<PathBuf> {
    if pattern.contains(['*', '?', '[']) {
        return None;
    }
    let (mut path, mut is_of_user) = (String::new(), !pattern.starts_with('/'));
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        if c != '%' {
            path.push(c);
            continue;
        }
        let token = characters.next()?;
        is_of_user |= token != '%';
        path.push_str(match token {
            '%' => "%",
            'h' => home.to_str()?,
            'u' => "root",
            'U' => "0",
            _ => return None,
        });
    }
    is_of_user.then(|| home.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account_keys::key_line::tests::{key_text, line};

    #[test]
    fn text_of_the_former_package_says_so_first() {
        let head =
            "#\n# This file will be erased at every boot\n# Run '/usr/sbin/scw-fetch-ssh-keys --upgrade'\n\n";
        assert!(is_of_former_package(&format!("{head}{}\n", key_text(1))));
        for other in [
            format!("{}\n{head}", key_text(1)),
            head.replace("erased", "read"),
            head.replace("scw-fetch", "fetch"),
            String::new(),
        ] {
            assert!(!is_of_former_package(&other), "{other}");
        }
    }

    #[test]
    fn keys_are_found_in_any_line() {
        let text = format!("# {0}\ncommand=\"x\" {0} c\n\n{1} other comment\n", key_text(1), key_text(2));
        let fingerprints = [line(1), line(3)].map(|line| line.key().fingerprint());
        assert_eq!(lines_with(&text, |key| fingerprints.contains(key)), [(2, fingerprints[0].clone())]);
        let lines = [line(1), line(2), line(3)];
        let missing = missing_in(&text, lines.iter());
        assert_eq!(missing, [&lines[0], &lines[2]], "with options it is another way in");
    }

    #[test]
    fn pattern_names_a_file_of_root_alone() {
        for (pattern, file) in [
            (".ssh/authorized_keys", Some("/root/.ssh/authorized_keys")),
            ("/etc/ssh/keys/%u-%U%%", Some("/etc/ssh/keys/root-0%")),
            ("%h/x", Some("/root/x")),
            ("/etc/ssh/keys", None),
            ("/etc/ssh/keys%%", None),
            ("/etc/ssh/%u/*", None),
            ("%k", None),
        ] {
            assert_eq!(
                file_of_root(pattern, Path::new("/root")).as_deref(),
                file.map(Path::new),
                "{pattern}"
            );
        }
    }
}

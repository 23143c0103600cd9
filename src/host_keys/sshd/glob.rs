//! The files that match a pattern, as with glob(3) in OpenSSH: `*`, `?`, `[…]` in every part of a path. A backslash makes the next
//! character a literal one. The number of paths is bounded.

use std::fs;
use std::path::{Path, PathBuf};

use crate::host_keys::sshd::wildcard::matches_by;

/// The paths that match, in byte order, at most `limit`. A pattern without special characters is itself the path, if that file exists.
pub(crate) fn glob(pattern: &Path, limit: usize) -> Vec<PathBuf> {
    let Some(text) = pattern.to_str() else { return Vec::new() };
    let mut paths = vec![PathBuf::from("/")];
    for part in text.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for folder in &paths {
            if is_pattern(part) {
                next.extend(matching(folder, part));
            } else {
                next.push(folder.join(unescaped(part)));
            }
            next.truncate(limit);
        }
        paths = next;
    }
    paths.retain(|path| path.symlink_metadata().is_ok());
    paths.sort_unstable();
    paths
}

fn is_pattern(part: &str) -> bool {
    part.contains(['*', '?', '['])
}

fn unescaped(part: &str) -> String {
    let mut characters = part.chars();
    let mut plain = String::new();
    while let Some(c) = characters.next() {
        plain.push(if c == '\\' { characters.next().unwrap_or('\\') } else { c });
    }
    plain
}

fn matching(folder: &Path, part: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let fits = |name: &str| {
        // The dot of a hidden file must be in the pattern.
        name.starts_with('.') == part.starts_with('.') && matches(part.as_bytes(), name.as_bytes())
    };
    entries.filter(|entry| entry.file_name().to_str().is_some_and(fits)).map(|entry| entry.path()).collect()
}

/// Whether a name matches one part of a pattern.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    matches_by(pattern, name, match_one)
}

/// Matches one byte of a name. Returns how many bytes of the pattern match it.
fn match_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => match in_brackets(&pattern[1..], byte) {
            Some((fits, length)) => fits.then_some(length + 1),
            // A bracket without its end is a plain character.
            None => (byte == b'[').then_some(1),
        },
        b'\\' if pattern.len() > 1 => (pattern[1] == byte).then_some(2),
        plain => (plain == byte).then_some(1),
    }
}

/// Reads a set after its `[`. Returns whether the byte is in the set, and the length of the set with its `]`.
fn in_brackets(set: &[u8], byte: u8) -> Option<(bool, usize)> {
    let negated = set.first() == Some(&b'!');
    let start = usize::from(negated);
    let mut at = start;
    let mut fits = false;
    loop {
        let first = *set.get(at)?;
        // As the first character, `]` is a plain character.
        if first == b']' && at > start {
            return Some((fits != negated, at + 1));
        }
        if let Some((class, length)) = character_class(&set[at..]) {
            fits |= class(&byte);
            at += length;
            continue;
        }
        match (set.get(at + 1), set.get(at + 2)) {
            (Some(b'-'), Some(last)) if *last != b']' => {
                fits |= (first..=*last).contains(&byte);
                at += 3;
            }
            _ => {
                fits |= first == byte;
                at += 1;
            }
        }
    }
}

type Class = fn(&u8) -> bool;

/// Reads a character class such as `[:digit:]`. Returns its test and its length.
fn character_class(set: &[u8]) -> Option<(Class, usize)> {
    let classes: [(&[u8], Class); 6] = [
        (b"[:alnum:]", u8::is_ascii_alphanumeric),
        (b"[:alpha:]", u8::is_ascii_alphabetic),
        (b"[:digit:]", u8::is_ascii_digit),
        (b"[:lower:]", u8::is_ascii_lowercase),
        (b"[:upper:]", u8::is_ascii_uppercase),
        (b"[:xdigit:]", u8::is_ascii_hexdigit),
    ];
    classes.into_iter().find(|(name, _)| set.starts_with(name)).map(|(name, class)| (class, name.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::random;

    #[test]
    fn h3_pattern_matches_names_as_glob_does() {
        for (pattern, name, expected) in [
            ("*", "a", true),
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("[0-9]*.conf", "50-a.conf", true),
            ("[0-9]*.conf", "a.conf", false),
            ("[!0-9]*", "a", true),
            ("[!0-9]*", "5", false),
            ("[]a]b", "]b", true),
            ("[a-]b", "-b", true),
            ("[[:digit:]]?", "5x", true),
            ("[[:digit:]]?", "xx", false),
            ("a[b", "a[b", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
        // The time grows in proportion to the number of stars, not faster.
        assert!(!matches("*a".repeat(200).as_bytes(), "a".repeat(150).as_bytes()));
    }

    #[test]
    fn h3_every_part_of_a_path_may_be_a_pattern() {
        let folder = std::env::temp_dir().join(format!("scw-agent-glob-{:x}", random::generator().u64(..)));
        for name in ["b.d/2.conf", "a.d/1.conf", "a.d/.hidden.conf", "c/3.conf", "a.d/x y", "[z]/4.conf"] {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, "").expect("written");
        }
        let found = |pattern: &str, limit: usize| -> Vec<String> {
            let name = |path: PathBuf| path.strip_prefix(&folder).expect("inside").display().to_string();
            glob(&folder.join(pattern), limit).into_iter().map(name).collect()
        };
        assert_eq!(found("*.d/*.conf", 9), ["a.d/1.conf", "b.d/2.conf"]);
        assert_eq!(found("?/[0-9].conf", 9), ["c/3.conf"]);
        assert_eq!(found("a.d/x y", 9), ["a.d/x y"]);
        assert_eq!(found("a.d/.h*", 9), ["a.d/.hidden.conf"]);
        assert_eq!(found("\\[z]/4.conf", 9), ["[z]/4.conf"]);
        assert_eq!(found("none/*", 9), [""; 0]);
        assert_eq!(found("*/*", 2).len(), 2);
        fs::remove_dir_all(folder).expect("removed");
    }
}

//! Files of authorized keys that belong to a person. Lines are added at the end; no other line is changed (invariant K1).

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::account_keys::key_line::KeyLine;
use crate::util::files;
use crate::util::labels::restore_labels;

/// The most that is read of a file.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The numbers of the lines that have a key with one of these fingerprints.
pub(crate) fn lines_with(text: &str, fingerprints: &[String]) -> Vec<(usize, String)> {
    let lines = text.lines().enumerate();
    let found = lines.filter_map(|(index, line)| {
        let fingerprint = KeyLine::parse(line).ok()?.key().fingerprint();
        fingerprints.contains(&fingerprint).then_some((index + 1, fingerprint))
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

/// Adds text at the end of a file, on a line of its own. If that fails, the file is as it was.
///
/// # Errors
/// The system's error. A symbolic link or another object that is no file is an error, too.
pub(crate) fn append(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        std::fs::DirBuilder::new().mode(0o700).create(folder)?;
        restore_labels(folder);
    }
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600).custom_flags(flags.bits());
    let mut file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let before = metadata.len();
    let line_break = if before > 0 && last_byte(&mut file)? != b'\n' { "\n" } else { "" };
    let written = file.write_all(format!("{line_break}{text}").as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // If another program has added more meanwhile, that stays, with a cut-off line before it.
        let is_ours = file.metadata().is_ok_and(|now| now.len() <= before + text.len() as u64 + 1);
        let _ = if is_ours { file.set_len(before) } else { Ok(()) };
        return written;
    }
    restore_labels(path);
    path.parent().map_or(Ok(()), files::sync_folder)
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
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
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::account_keys::key_line::tests::{key_text, line};
    use crate::util::random;

    #[test]
    fn k1_text_is_added_and_no_other_line_changes() {
        let home = std::env::temp_dir().join(format!("scw-agent-append-{:x}", random::generator().u64(..)));
        fs::create_dir(&home).expect("made");
        let file = home.join(".ssh/authorized_keys");
        append(&file, "a\n").expect("added");
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("changed");
        for (before, after) in [("", "b\n"), ("\u{1} x\n", "\u{1} x\nb\n"), ("x", "x\nb\n")] {
            fs::write(&file, before).expect("written");
            append(&file, "b\n").expect("added");
            assert_eq!(fs::read_to_string(&file).expect("read"), after);
        }
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o644, "the mode stays");
        fs::rename(&file, home.join("elsewhere")).expect("moved");
        symlink(home.join("elsewhere"), &file).expect("linked");
        assert!(append(&file, "c\n").is_err());
        assert_eq!(fs::read_to_string(home.join("elsewhere")).expect("read"), "x\nb\n");
        fs::remove_dir_all(home).expect("removed");
    }

    #[test]
    fn keys_are_found_in_any_line() {
        let text = format!("# {0}\ncommand=\"x\" {0} c\n\n{1} other comment\n", key_text(1), key_text(2));
        let fingerprints = [line(1), line(3)].map(|line| line.key().fingerprint());
        assert_eq!(lines_with(&text, &fingerprints), [(2, fingerprints[0].clone())]);
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

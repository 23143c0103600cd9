//! Sets the hostname of the machine, as Scaleway's `scw-set-hostname` does. It never decides whether that is wanted.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::system::requests::RequestFolder;
use crate::util::files;
use crate::util::labels::restore_labels;
use crate::util::program::{self, words};

/// The name of the daemon's request to set the hostname.
pub(crate) const HOSTNAME_REQUESTED: &str = "hostname-requested";

/// The files that the daemon and the unit that sets the hostname exchange.
#[derive(Clone, Debug)]
pub(crate) struct HostnamePaths {
    /// The daemon's requests.
    pub requests: RequestFolder,
    /// The time up to which the throttle has reserved starts of the unit.
    pub runs: PathBuf,
    /// Exists once nothing is left to do in this boot.
    pub done: PathBuf,
}

impl Default for HostnamePaths {
    fn default() -> Self {
        Self {
            requests: RequestFolder {
                requests: "/run/scw-agent-requests/hostname".into(),
                pending: "/run/scw-agent-hostname/pending".into(),
            },
            runs: "/run/scw-agent-hostname/private/runs".into(),
            done: "/run/scw-agent-hostname/done".into(),
        }
    }
}

const HOSTS: &str = "/etc/hosts";
const MAX_HOSTS_BYTES: u64 = 1024 * 1024;

/// Whether this is a hostname: labels of letters, digits and hyphens, of at most 63 characters, and 64 in all, as the kernel accepts.
pub(crate) fn is_hostname(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(is_allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 64 && name.split('.').all(is_label)
}

/// Sets the hostname, and has it in /etc/hosts.
///
/// # Errors
/// If hostnamectl fails, or /etc/hosts cannot be read or written. In the second case the name is set.
pub(crate) fn set(name: &str) -> io::Result<()> {
    let old = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    let output = program::run("hostnamectl", words(&["set-hostname", name]), b"")?;
    if !output.status.success() {
        return Err(io::Error::other(format!("hostnamectl failed: {}", output.messages)));
    }
    update_hosts(&old, name).map_err(|why| {
        io::Error::new(why.kind(), format!("the name is set, but {HOSTS} is not changed: {why}"))
    })
}

/// Changes the file. A link to it stays, and so does its mode.
fn update_hosts(old: &str, name: &str) -> io::Result<()> {
    let path = Path::new(HOSTS).canonicalize().unwrap_or_else(|_| HOSTS.into());
    let text = files::read_bounded(&path, MAX_HOSTS_BYTES)?.unwrap_or_default();
    let text = String::from_utf8(text).map_err(|_| io::Error::other("it is not UTF-8"))?;
    let Some(text) = hosts_with(&text, old, name) else { return Ok(()) };
    let mode = path.metadata().map_or(0o644, |metadata| metadata.mode() & 0o777);
    files::write_atomic(&path, text.as_bytes(), mode)?;
    restore_labels(&path);
    Ok(())
}

/// The text of /etc/hosts with the new name in the place of the old one, or on a line of its own; `None` if it has the name already.
fn hosts_with(text: &str, old: &str, name: &str) -> Option<String> {
    let names = |line: &str| -> Vec<String> {
        let line = line.split('#').next().unwrap_or_default();
        line.split_whitespace().skip(1).map(str::to_owned).collect()
    };
    if text.lines().any(|line| names(line).iter().any(|word| word == name)) {
        return None;
    }
    // Every machine has these names, and they stay.
    let is_everyones = ["localhost", "ip6-"].iter().any(|name| old.starts_with(name));
    let has_old = |line: &&str| !is_everyones && names(line).iter().any(|word| word == old);
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        lines.push(if has_old(&line) { with_word(line, old, name) } else { line.to_owned() });
    }
    if !text.lines().any(|line| has_old(&line)) {
        lines.push(format!("127.0.1.1\t{name}"));
    }
    Some(lines.join("\n") + "\n")
}

/// The line with one word replaced by another. Spaces and comments stay.
fn with_word(line: &str, old: &str, new: &str) -> String {
    let (entries, comment) = line.split_at(line.find('#').unwrap_or(line.len()));
    let words = entries.split_inclusive(char::is_whitespace).map(|word| {
        let (text, space) = word.split_at(word.trim_end().len());
        format!("{}{space}", if text == old { new } else { text })
    });
    words.collect::<String>() + comment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_file_gets_the_new_name_once() {
        for (text, expected) in [
            ("", Some("127.0.1.1\tnew\n")),
            ("127.0.0.1 localhost\n", Some("127.0.0.1 localhost\n127.0.1.1\tnew\n")),
            ("127.0.0.1\tlocalhost old # old\n", Some("127.0.0.1\tlocalhost new # old\n")),
            ("127.0.1.1 old.lan old\n::1 old", Some("127.0.1.1 old.lan new\n::1 new\n")),
            ("127.0.1.1 new\n", None),
            ("# new\n10.0.0.1 x # new\n", Some("# new\n10.0.0.1 x # new\n127.0.1.1\tnew\n")),
        ] {
            let changed = hosts_with(text, "old", "new");
            assert_eq!(changed.as_deref(), expected, "{text}");
        }
        for name in ["localhost", "localhost.localdomain", "ip6-localhost"] {
            let text = format!("127.0.0.1 localhost {name}\n");
            let kept = hosts_with(&text, name, "new").expect("changed");
            assert_eq!(kept, format!("{text}127.0.1.1\tnew\n"), "no name of this machine alone");
        }
    }

    #[test]
    fn name_that_is_no_hostname_is_refused() {
        for good in ["scw-example", "a", "a.b-c.example", "1web"] {
            assert!(is_hostname(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a_b", "a b", "a\nb", ".", "a..b", "é", &"x".repeat(64), "$(id)"] {
            assert!(!is_hostname(bad), "{bad}");
        }
    }
}

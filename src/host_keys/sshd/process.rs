//! Having a running sshd read its host keys again: which process that is, whether its configuration lets it start anew, and SIGHUP.
//!
//! sshd answers SIGHUP by starting itself again. With a broken configuration it ends there and then, and nobody can log in any more. So
//! `sshd -t` must succeed first, with the options of the running process. The signal goes to a listening sshd of root's and to
//! nothing else: a process id in a file may be an old one, and the process that has it now another's.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::host_keys::sshd::options::SshdOptions;
use crate::host_keys::sshd::query;
use crate::host_keys::sshd::query::QueryError;
use crate::util::files;
use crate::util::program;
use crate::util::program::words;

/// The names of its unit.
const UNITS: [&str; 2] = ["ssh.service", "sshd.service"];
/// sshd's options that decide whether a configuration is good. Each takes a value.
const OF_THE_CONFIGURATION: &str = "cfho";
/// Its other options that take a value.
const WITH_VALUE: &str = "CEbgkpu";

/// How long sshd may take to start anew. Far more than it needs: publishing waits for this, and nothing else.
const RESTART_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a running sshd still has the keys that it read when it started.
#[derive(Debug)]
pub(crate) enum ReloadError {
    /// Its configuration does not let it start again.
    Broken(QueryError),
    /// The process cannot be signalled.
    Signal(i32, io::Error),
}

/// Tells every sshd that listens to read its keys again; returns how many there are. With socket activation there is none: each
/// connection has a process of its own, which reads the keys when it starts.
///
/// `pid_file` is sshd's own. `ask_systemd` also asks systemd for the process of sshd's unit, since the configuration can move that file.
///
/// # Errors
/// When the configuration is broken or the signal cannot be sent: sshd goes on with its old keys then.
pub(crate) fn reload(pid_file: &Path, ask_systemd: bool) -> Result<usize, ReloadError> {
    let mut pids: Vec<_> = from_file(pid_file).into_iter().collect();
    if ask_systemd {
        pids.extend(from_systemd());
    }
    pids.sort_unstable();
    pids.dedup();
    let listening = pids.into_iter().filter_map(|pid| Some((pid, listener(pid)?)));
    let mut told = 0;
    for (pid, options) in listening {
        query::check(&options.unwrap_or_else(|| SshdOptions::read().words)).map_err(ReloadError::Broken)?;
        let before = stamp(pid_file);
        kill(Pid::from_raw(pid), Signal::SIGHUP).map_err(|why| ReloadError::Signal(pid, why.into()))?;
        wait_for_restart(pid_file, before);
        tracing::info!("told sshd (process {pid}) to read its keys again");
        told += 1;
    }
    Ok(told)
}

/// Waits until sshd serves the new keys: it removes its file with the process id when it starts anew, and writes it again once it listens.
/// Without that file, there is nothing to see, and a second is far more than it takes.
fn wait_for_restart(pid_file: &Path, before: Option<(u64, i64, i64)>) {
    let deadline = Instant::now() + if before.is_some() { RESTART_TIMEOUT } else { Duration::from_secs(1) };
    while Instant::now() < deadline
        && (before.is_none() || stamp(pid_file).is_none_or(|now| Some(now) == before))
    {
        thread::sleep(Duration::from_millis(5));
    }
}

fn stamp(path: &Path) -> Option<(u64, i64, i64)> {
    let file = fs::metadata(path).ok().filter(|file| file.len() > 0)?;
    Some((file.ino(), file.mtime(), file.mtime_nsec()))
}

fn from_file(path: &Path) -> Option<i32> {
    let text = String::from_utf8(files::read_bounded(path, 64).ok()??).ok()?;
    text.trim().parse().ok().filter(|pid| *pid > 1)
}

/// The main processes of sshd's units; none where systemd does not run.
fn from_systemd() -> Vec<i32> {
    let options = words(&["show", "--property=MainPID", "--value"]).chain(UNITS.map(OsStr::new));
    let Ok(output) = program::run("systemctl", options, b"") else { return Vec::new() };
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace().filter_map(|word| word.parse().ok()).filter(|pid| *pid > 1).collect()
}

/// The options of a process, if it is an sshd that listens, and ours, that is root's. The inner `None` stands for options that cannot
/// be known.
fn listener(pid: i32) -> Option<Option<Vec<String>>> {
    let of_process = |name: &str| fs::read(format!("/proc/{pid}/{name}")).ok();
    let status = String::from_utf8(of_process("status")?).ok()?;
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let us = nix::unistd::geteuid().to_string();
    if of_process("comm")?.trim_ascii() != b"sshd" || !uids.split_whitespace().all(|uid| uid == us) {
        return None;
    }
    // The unit may not look: it has fewer capabilities than sshd.
    match fs::read_link(format!("/proc/{pid}/exe")) {
        Ok(program) if !program.file_name()?.as_encoded_bytes().starts_with(b"sshd") => return None,
        Err(why) if why.kind() != io::ErrorKind::PermissionDenied => return None,
        _ => {}
    }
    Some(options(&arguments(&of_process("cmdline")?)?))
}

/// The arguments of an sshd that listens, by its command line; `None` for one that serves a connection.
///
/// Since OpenSSH 8.2 it is one text: `sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups`. Before, it is the arguments as they were
/// given. The process of a connection has `sshd: root@pts/0` or the like.
fn arguments(command_line: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(command_line).ok()?.trim_end_matches('\0');
    let words: Vec<_> = match text.strip_prefix("sshd: ") {
        Some(title) => title.split_once(" [listener]")?.0.split(' ').collect(),
        None => text.split('\0').collect(),
    };
    let program = Path::new(words.first()?);
    let is_sshd = program.is_absolute() && program.file_name()? == "sshd";
    is_sshd.then(|| words[1..].iter().map(|word| (*word).to_owned()).collect())
}

/// Those of sshd's options that its configuration is made of. `None` if they cannot be told apart: the text of a title has no quotes.
fn options(arguments: &[String]) -> Option<Vec<String>> {
    let mut options = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let letters = argument.strip_prefix('-').filter(|letters| !letters.is_empty())?;
        for (at, letter) in letters.char_indices() {
            let of_the_configuration = OF_THE_CONFIGURATION.contains(letter);
            if of_the_configuration || WITH_VALUE.contains(letter) {
                let rest = &letters[at + letter.len_utf8()..];
                let value = if rest.is_empty() { arguments.next()? } else { rest };
                if of_the_configuration {
                    options.push(format!("-{letter}{value}"));
                }
                break;
            }
        }
    }
    Some(options)
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(why) => write!(
                f,
                "sshd still serves its old host keys: {why}; repair its configuration, then it is told to read the new ones"
            ),
            Self::Signal(pid, why) => write!(
                f,
                "sshd still serves its old host keys: cannot signal process {pid}: {why}; restart sshd"
            ),
        }
    }
}

impl std::error::Error for ReloadError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d2_table_of_command_lines_of_sshd() {
        let rhel_8 =
            "/usr/sbin/sshd\0-D\0-oCiphers=aes256-gcm@openssh.com\0-oHostKeyAlgorithms=rsa-sha2-256\0";
        let policy = &["-oCiphers=aes256-gcm@openssh.com", "-oHostKeyAlgorithms=rsa-sha2-256"][..];
        for (line, expected) in [
            ("sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups\0\0\0", Some(Some(&[][..]))),
            (
                "sshd: /usr/sbin/sshd -D -p 2222 -f /etc/ssh/other -eoPort=23 [listener] 1 of 10-100 startups",
                Some(Some(&["-f/etc/ssh/other", "-oPort=23"][..])),
            ),
            (rhel_8, Some(Some(policy))),
            ("/usr/sbin/sshd\0-D\0-o\0Port 22\0", Some(Some(&["-oPort 22"]))),
            // Two words of one option, or an option and a word? Not to be told.
            ("sshd: /usr/sbin/sshd -D -o Port 22 [listener] 0 of 10-100 startups", Some(None)),
            ("sshd: /usr/sbin/sshd -D -o [listener] 0 of 10-100 startups", Some(None)),
            ("sshd: root@pts/0\0", None),
            ("sshd: root [priv]\0", None),
            ("sshd: [listener]\0", None),
            ("/usr/bin/vim\0sshd\0", None),
            ("sshd\0-D\0", None),
            ("", None),
        ] {
            let found = arguments(line.as_bytes()).map(|arguments| options(&arguments));
            let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
            assert_eq!(found, expected.map(|options| options.map(owned)), "{line:?}");
        }
    }

    #[test]
    fn d2_only_a_listening_sshd_is_told() {
        let us = i32::try_from(std::process::id()).expect("a process id");
        assert_eq!(listener(us), None);
        assert_eq!(listener(i32::MAX), None);
    }
}

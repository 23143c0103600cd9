//! Makes a running sshd read its host keys again: finds the process, checks that sshd can restart, and sends SIGHUP.
//!
//! On SIGHUP, sshd executes itself again. With a broken configuration it exits, and nobody can log in any more. So `sshd -t` must succeed
//! first, with the options of the running process. The signal goes only to a listening sshd that runs as root: the process id in a file
//! may be outdated, and now belong to another process.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use thiserror::Error;

use crate::host_keys::sshd::options::SshdOptions;
use crate::host_keys::sshd::query::{self, QueryError};
use crate::util::files;
use crate::util::program::{self, words};

/// The names of sshd's unit.
const UNITS: [&str; 2] = ["ssh.service", "sshd.service"];
/// sshd's options that change its configuration. Each takes a value.
const CONFIG_OPTIONS: &str = "cfho";
/// sshd's other options that take a value.
const OTHER_OPTIONS_WITH_VALUE: &str = "CEbgkpu";

/// How long sshd may take to restart. This is much more than it needs; only publishing waits for it.
const RESTART_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a running sshd still has its old configuration and keys.
#[derive(Debug, Error)]
pub(crate) enum ReloadError {
    /// sshd could not restart with its configuration.
    #[error("sshd was not reloaded: {0}; fix its configuration, then the agent reloads sshd")]
    Broken(#[source] QueryError),
    /// The process cannot be signalled.
    #[error("sshd was not reloaded: cannot signal process {0}: {1}; restart sshd")]
    Signal(i32, #[source] io::Error),
    /// It cannot be found out which process it is.
    #[error("sshd was not reloaded: cannot find its process: {0}; restart sshd")]
    NotFound(#[source] io::Error),
}

/// Makes every listening sshd read its keys again; returns how many there are. With socket activation there is none: each connection
/// has a process of its own, which reads the keys when it starts.
///
/// `pid_file` is the file that sshd writes. With `ask_systemd`, systemd is also asked for the main process of sshd's unit, because the
/// configuration can move that file.
///
/// # Errors
/// When the configuration is broken or the signal cannot be sent. Then sshd keeps its old keys.
pub(crate) fn reload(pid_file: &Path, ask_systemd: bool) -> Result<usize, ReloadError> {
    let mut pids: Vec<_> = pid_from_file(pid_file).map_err(ReloadError::NotFound)?.into_iter().collect();
    if ask_systemd {
        pids.extend(pids_from_systemd());
    }
    pids.sort_unstable();
    pids.dedup();
    let mut signalled = 0;
    for pid in pids {
        let Some(options) = listener_options(pid).map_err(ReloadError::NotFound)? else { continue };
        query::check(&options.unwrap_or_else(|| SshdOptions::read().words)).map_err(ReloadError::Broken)?;
        let before = stamp(pid_file);
        kill(Pid::from_raw(pid), Signal::SIGHUP).map_err(|why| ReloadError::Signal(pid, why.into()))?;
        wait_for_restart(pid_file, before);
        tracing::info!("sent SIGHUP to sshd (process {pid}), to reload its keys");
        signalled += 1;
    }
    Ok(signalled)
}

/// Waits until sshd serves the new keys. When sshd restarts, it removes its file with the process id, and it writes the file again when it
/// listens. Without that file this waits for a second, which is much more than sshd needs.
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

/// `None` without a file that names a process.
fn pid_from_file(path: &Path) -> io::Result<Option<i32>> {
    let text = files::read_bounded(path, 64)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&text).trim().parse().ok().filter(|pid| *pid > 1))
}

fn pids_from_systemd() -> Vec<i32> {
    let options = words(&["show", "--property=MainPID", "--value"]).chain(UNITS.map(OsStr::new));
    let Ok(output) = program::run("systemctl", options, b"") else { return Vec::new() };
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace().filter_map(|word| word.parse().ok()).filter(|pid| *pid > 1).collect()
}

/// The configuration options of a process, if it is a listening sshd of our own user, that is root. The inner `None` means that the
/// options cannot be found out.
fn listener_options(pid: i32) -> io::Result<Option<Option<Vec<String>>>> {
    let proc_file = |name: &str| match fs::read(format!("/proc/{pid}/{name}")) {
        // The process has ended.
        Err(why) if why.kind() == io::ErrorKind::NotFound || why.raw_os_error() == Some(libc::ESRCH) => {
            Ok(Vec::new())
        }
        read => read,
    };
    let status = proc_file("status")?;
    let status = String::from_utf8_lossy(&status);
    let own_uid = nix::unistd::geteuid().to_string();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    let is_own = !uids.is_empty() && uids.split_whitespace().all(|uid| uid == own_uid);
    if !is_own || proc_file("comm")?.trim_ascii() != b"sshd" {
        return Ok(None);
    }
    let is_sshd =
        |program: &Path| program.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"sshd"));
    match fs::read_link(format!("/proc/{pid}/exe")) {
        Ok(program) if !is_sshd(&program) => return Ok(None),
        // The unit has fewer capabilities than sshd, so it may not read this link.
        Err(why) if why.kind() != io::ErrorKind::PermissionDenied => return Ok(None),
        _ => {}
    }
    Ok(arguments(&proc_file("cmdline")?).map(|arguments| config_options(&arguments)))
}

/// The arguments of a listening sshd, from its command line; `None` for a process that serves a connection.
///
/// Since OpenSSH 8.2 the command line is one text: `sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups`. In older versions it is the
/// arguments as they were given. The process of a connection has a text like `sshd: root@pts/0`.
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

/// Those of sshd's options that change its configuration. `None` if they are ambiguous, because the text of a title has no quotes.
fn config_options(arguments: &[String]) -> Option<Vec<String>> {
    let mut options = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let letters = argument.strip_prefix('-').filter(|letters| !letters.is_empty())?;
        for (at, letter) in letters.char_indices() {
            let is_config_option = CONFIG_OPTIONS.contains(letter);
            if is_config_option || OTHER_OPTIONS_WITH_VALUE.contains(letter) {
                let rest = &letters[at + letter.len_utf8()..];
                let value = if rest.is_empty() { arguments.next()? } else { rest };
                if is_config_option {
                    options.push(format!("-{letter}{value}"));
                }
                break;
            }
        }
    }
    Some(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d2_command_lines_of_a_listening_sshd() {
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
            // Ambiguous: `Port 22` may be one value, or a value and another word.
            ("sshd: /usr/sbin/sshd -D -o Port 22 [listener] 0 of 10-100 startups", Some(None)),
            ("sshd: /usr/sbin/sshd -D -o [listener] 0 of 10-100 startups", Some(None)),
            ("sshd: root@pts/0\0", None),
            ("sshd: root [priv]\0", None),
            ("sshd: [listener]\0", None),
            ("/usr/bin/vim\0sshd\0", None),
            ("sshd\0-D\0", None),
            ("", None),
        ] {
            let found = arguments(line.as_bytes()).map(|arguments| config_options(&arguments));
            let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
            assert_eq!(found, expected.map(|options| options.map(owned)), "{line:?}");
        }
    }

    #[test]
    fn d2_only_a_listening_sshd_is_signalled() {
        let own_pid = i32::try_from(std::process::id()).expect("a process id");
        assert_eq!(listener_options(own_pid).expect("read"), None);
        assert_eq!(listener_options(i32::MAX).expect("read"), None);
    }
}

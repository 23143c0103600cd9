//! Runs other programs for their answers: with a clean environment, no terminal, a bound on time and on output.
//!
//! Most of them are ssh-keygen and sshd. OpenSSH decides what a usable key is (invariant H1). A key is passed on standard input, so that neither the file's
//! mode nor its name nor a `.pub` beside it changes the answer. It is a file in memory and not a pipe: ssh-keygen opens it a
//! second time to try a passphrase.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// A question takes milliseconds.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// A large RSA key takes some ten seconds to make on a slow machine. The units' own timeout is 5 minutes.
pub(crate) const MAKE_TIMEOUT: Duration = Duration::from_secs(240);
/// How often the end of a program is looked for once it closed its output.
const POLL: Duration = Duration::from_millis(1);
/// Bytes of each output that are kept: `sshd -T` prints ten thousand.
const MAX_OUTPUT: u64 = 256 * 1024;
/// Where distributions have OpenSSH. A copy in /usr/local is not the one that the units start.
const SEARCH_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// What a program that ended left.
#[derive(Debug)]
pub(crate) struct ProgramOutput {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    /// Its messages, on one line.
    pub(crate) messages: String,
}

/// A started program.
#[derive(Debug)]
pub(crate) struct RunningProgram {
    child: Child,
    streams: Receiver<Stream>,
    timeout: Duration,
    deadline: Instant,
}

/// One output stream, read to its end.
#[derive(Debug)]
enum Stream {
    Out(Vec<u8>),
    Err(Vec<u8>),
}

/// Starts a program with `input` as its standard input.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn start<'a>(
    program: &str,
    arguments: impl IntoIterator<Item = &'a OsStr>,
    input: &[u8],
    timeout: Duration,
) -> io::Result<RunningProgram> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/").env_clear().env("PATH", SEARCH_PATH).env("LC_ALL", "C");
    command.stdin(if input.is_empty() { Stdio::null() } else { in_memory(input)?.into() });
    // A group of its own, so that all of it can be ended.
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    let (sender, streams) = channel();
    if let Some(stdout) = child.stdout.take() {
        read_to_end(stdout, sender.clone(), Stream::Out);
    }
    if let Some(stderr) = child.stderr.take() {
        read_to_end(stderr, sender, Stream::Err);
    }
    Ok(RunningProgram { child, streams, timeout, deadline: Instant::now() + timeout })
}

/// Runs a program that answers a question to its end.
///
/// # Errors
/// When it cannot be started, or takes too long.
pub(crate) fn run<'a>(
    program: &str,
    arguments: impl IntoIterator<Item = &'a OsStr>,
    input: &[u8],
) -> io::Result<ProgramOutput> {
    start(program, arguments, input, ANSWER_TIMEOUT)?.finish()
}

/// The words as arguments.
pub(crate) fn words<'a>(words: &'a [&'a str]) -> impl Iterator<Item = &'a OsStr> {
    words.iter().map(OsStr::new)
}

/// What identifies a program's file: replaced or changed, it has another stamp. `None` where it is not found.
pub(crate) fn stamp(program: &str) -> Option<(u64, u64, i64, i64)> {
    use std::os::unix::fs::MetadataExt;
    let found = if program.starts_with('/') {
        fs::metadata(program)
    } else {
        let in_folder = |folder: &str| fs::metadata(format!("{folder}/{program}"));
        SEARCH_PATH.split(':').find_map(|folder| in_folder(folder).ok()).ok_or_else(not_found)
    };
    let file = found.ok()?;
    Some((file.ino(), file.size(), file.ctime(), file.ctime_nsec()))
}

/// A file that is on no disk, and that only we may read: ssh-keygen refuses others.
fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("key", MFdFlags::MFD_CLOEXEC)?);
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn read_to_end(stream: impl Read + Send + 'static, sender: Sender<Stream>, kind: fn(Vec<u8>) -> Stream) {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let mut stream = stream.take(MAX_OUTPUT);
        let _ = stream.read_to_end(&mut bytes);
        let _ = sender.send(kind(bytes));
    });
}

impl RunningProgram {
    /// Waits for the end.
    ///
    /// # Errors
    /// When it takes too long: then it was killed.
    pub(crate) fn finish(mut self) -> io::Result<ProgramOutput> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        loop {
            match self.streams.recv_timeout(self.deadline.saturating_duration_since(Instant::now())) {
                Ok(Stream::Out(bytes)) => stdout = bytes,
                Ok(Stream::Err(bytes)) => stderr = bytes,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => return Err(self.kill()),
            }
        }
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() >= self.deadline {
                return Err(self.kill());
            }
            thread::sleep(POLL);
        };
        let messages = String::from_utf8_lossy(&stderr).trim().replace("\r\n", "\n").replace('\n', "; ");
        Ok(ProgramOutput { status, stdout, messages })
    }

    /// Ends it and what it started.
    fn kill(&mut self) -> io::Error {
        if let Ok(group) = i32::try_from(self.child.id()) {
            // Not waited for yet, so the number is still its own.
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        let _ = self.child.wait();
        io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", self.timeout.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_openssh_gets_a_clean_environment_and_its_input() {
        let script = "cat; env | sort | cut -d= -f1 | tr '\\n' ' ' >&2; exit 3";
        let output = run("sh", words(&["-c", script]), b"the key").expect("started");
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(3), &b"the key"[..]));
        assert_eq!(output.messages.trim(), "LC_ALL PATH PWD");
    }

    #[test]
    fn h1_a_program_that_reads_no_input_is_no_failure() {
        let output = run("sh", words(&["-c", "exit 0"]), &[b'x'; 60_000]).expect("started");
        assert!(output.status.success());
        assert!(run("no-such-program", [], b"").is_err());
    }
}

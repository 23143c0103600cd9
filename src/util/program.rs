//! Runs another program and returns its output: with a clean environment, without a terminal, with limits on time and output.
//!
//! Most of these programs are ssh-keygen and sshd: OpenSSH decides which key is usable (invariant H1). A key is passed on standard
//! input, so that the mode of its file, its name and a `.pub` file beside it have no influence on the answer. Standard input is a
//! file in memory and not a pipe, because ssh-keygen opens it a second time to try a passphrase.

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

/// The timeout of a query, which usually takes milliseconds.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The timeout of a key generation. A large RSA key takes about ten seconds on a slow machine, and minutes on an emulated one. On an old
/// kernel without a source of random numbers, ssh-keygen waits, too. Without a key there is no SSH, so the time is long. The units have no
/// timeout of their own: if systemd ended one, the keys that are not made yet would be missing until the next boot.
pub(crate) const MAKE_TIMEOUT: Duration = Duration::from_secs(900);
/// After a program closed its outputs, its exit is polled with this interval.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// The limit for each output; further output is not read. `sshd -T` prints about 10,000 bytes.
const MAX_OUTPUT_BYTES: u64 = 256 * 1024;
/// The folders in which distributions install OpenSSH. The units do not start a copy in /usr/local, so it is not included.
const SEARCH_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The result of a program that ended.
#[derive(Debug)]
pub(crate) struct ProgramOutput {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    /// Its standard error, on one line.
    pub(crate) messages: String,
}

/// A program that was started and is not waited for yet.
#[derive(Debug)]
pub(crate) struct RunningProgram {
    child: Child,
    streams: Receiver<Stream>,
    timeout: Duration,
    deadline: Instant,
}

/// The content of one output stream.
#[derive(Debug)]
enum Stream {
    Out(Vec<u8>),
    Err(Vec<u8>),
}

/// Starts a program with `input` as its standard input.
///
/// # Errors
/// If it cannot be started.
pub(crate) fn start<'a>(
    program: &str,
    arguments: impl IntoIterator<Item = &'a OsStr>,
    input: &[u8],
    timeout: Duration,
) -> io::Result<RunningProgram> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/").env_clear().env("PATH", SEARCH_PATH).env("LC_ALL", "C");
    command.stdin(if input.is_empty() { Stdio::null() } else { in_memory(input)?.into() });
    // A separate process group, so that its child processes can be killed, too.
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

/// Runs a program that answers a query, and waits for its end.
///
/// # Errors
/// If it cannot be started, or exceeds its timeout.
pub(crate) fn run<'a>(
    program: &str,
    arguments: impl IntoIterator<Item = &'a OsStr>,
    input: &[u8],
) -> io::Result<ProgramOutput> {
    start(program, arguments, input, ANSWER_TIMEOUT)?.finish()
}

/// Strings as arguments.
pub(crate) fn words<'a>(words: &'a [&'a str]) -> impl Iterator<Item = &'a OsStr> {
    words.iter().map(OsStr::new)
}

/// A stamp of a program's file: it differs after the file was replaced or changed. `None` if the file is not found.
pub(crate) fn stamp(program: &str) -> Option<(u64, u64, i64, i64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = if program.starts_with('/') {
        fs::metadata(program)
    } else {
        let in_folder = |folder: &str| fs::metadata(format!("{folder}/{program}"));
        SEARCH_PATH.split(':').find_map(|folder| in_folder(folder).ok()).ok_or_else(not_found)
    };
    let file = metadata.ok()?;
    Some((file.ino(), file.size(), file.ctime(), file.ctime_nsec()))
}

/// A file in memory that only this user may read: ssh-keygen refuses keys that others may read.
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
        let mut stream = stream.take(MAX_OUTPUT_BYTES);
        let _ = stream.read_to_end(&mut bytes);
        let _ = sender.send(kind(bytes));
    });
}

impl RunningProgram {
    /// Waits for the end of the program.
    ///
    /// # Errors
    /// If the program exceeds its timeout. It is killed then.
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
            thread::sleep(POLL_INTERVAL);
        };
        let messages = String::from_utf8_lossy(&stderr).trim().replace("\r\n", "\n").replace('\n', "; ");
        Ok(ProgramOutput { status, stdout, messages })
    }

    /// Kills the program and the processes that it started.
    fn kill(&mut self) -> io::Error {
        if let Ok(group) = i32::try_from(self.child.id()) {
            // The child was not waited for yet, so no other process has its id.
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
    fn h1_program_gets_a_clean_environment_and_its_input() {
        let script = "cat; env | sort | cut -d= -f1 | tr '\\n' ' ' >&2; exit 3";
        let output = run("sh", words(&["-c", script]), b"the key").expect("started");
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(3), &b"the key"[..]));
        assert_eq!(output.messages.trim(), "LC_ALL PATH PWD");
    }

    #[test]
    fn h1_program_may_ignore_its_input() {
        let output = run("sh", words(&["-c", "exit 0"]), &[b'x'; 60_000]).expect("started");
        assert!(output.status.success());
        assert!(run("no-such-program", [], b"").is_err());
    }
}

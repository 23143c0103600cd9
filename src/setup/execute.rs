//! Running one script: its file, its environment, its output line by line, its end (laws S2, S3, S5).

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, pipe2};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};

use super::record::Outcome;
use super::script::Script;
use crate::files;
use crate::metadata::UserDataKey;

/// The end of the output that is kept, in bytes.
const TAIL: usize = 4096;
/// A line that is longer goes to the log in pieces of this many bytes.
const LONGEST_LINE: usize = 8192;
/// Between asking a script to end and ending it.
const POLITENESS: Duration = Duration::from_secs(10);
/// After the script ended, its last output is read until none comes for so long…
const QUIET: Duration = Duration::from_millis(200);
/// …but no longer than this in all: what it left behind may go on for ever.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// What a script is run with.
pub(super) struct Order<'a> {
    pub(super) key: &'a UserDataKey,
    pub(super) script: Script<'a>,
    /// Where its body is put; a folder that only root can enter.
    pub(super) path: &'a Path,
    pub(super) timeout: Duration,
    /// Beside the fixed PATH, HOME and LANG.
    pub(super) environment: Vec<(&'static str, String)>,
}

/// Runs the script to its end; the outcome, if it got to one, and the end of its output.
pub(super) async fn execute(order: &Order<'_>, stop: &mut Stop) -> (Option<Outcome>, String) {
    let mut output = Output::new(order.key);
    let outcome = match start(order) {
        Ok((child, from_script)) => attend(child, from_script, order.timeout, stop, &mut output).await,
        Err(why) => Some(Outcome::NotRun(why)),
    };
    // It may have removed itself.
    let _ = std::fs::remove_file(order.path);
    (outcome, output.finish())
}

fn start(order: &Order<'_>) -> Result<(Child, Receiver), String> {
    let interpreter = &order.script.interpreter;
    if !Path::new(&interpreter.program).exists() {
        return Err(format!("the script's interpreter {} is not on this machine", interpreter.program));
    }
    let put = |why: io::Error| format!("the script cannot be put into {}: {why}", order.path.display());
    files::write_whole(order.path, order.script.body, 0o700).map_err(put)?;

    let broken = |why: io::Error| format!("the interpreter {} cannot be started: {why}", interpreter.program);
    // One pipe for both streams keeps their lines in order.
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(|why| broken(why.into()))?;
    let second_writer = writer.try_clone().map_err(broken)?;
    // The interpreter is named, not left to the kernel: this works where the folder is mounted noexec.
    let mut command = Command::new(&interpreter.program);
    command.args(&interpreter.argument).arg(order.path);
    command.env_clear().envs([
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/root"),
        ("LANG", "C.UTF-8"),
    ]);
    command.envs(order.environment.iter().map(|(name, value)| (name, value)));
    command.current_dir("/").stdin(Stdio::null()).stdout(writer).stderr(second_writer).process_group(0);
    let child = command.spawn().map_err(broken)?;
    Ok((child, Receiver::from_owned_fd(reader).map_err(broken)?))
}

/// Reads and waits until the script has ended: on its own, because its time was up, or because we were told to stop (then there is no
/// outcome: the script was cut off).
async fn attend(
    mut child: Child,
    mut from_script: Receiver,
    limit: Duration,
    stop: &mut Stop,
    output: &mut Output<'_>,
) -> Option<Outcome> {
    let mut buffer = vec![0; 16 * 1024];
    let mut open = true;
    let mut deadline = Instant::now() + limit;
    let mut ending = None;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let signal = |signal| group.map(|group| killpg(group, signal));
    let status = loop {
        tokio::select! {
            // The reading comes last: a script that prints without a pause must not keep us from the rest.
            biased;
            status = child.wait() => break status,
            () = sleep_until(deadline) => {
                signal(if ending.is_some() { Signal::SIGKILL } else { Signal::SIGTERM });
                if ending.is_some() {
                    // It may have left its group.
                    let _ = child.start_kill();
                }
                ending = ending.or(Some(Ending::TimeUp));
                deadline = Instant::now() + POLITENESS;
            }
            () = stop.asked(), if ending.is_none() => {
                signal(Signal::SIGTERM);
                ending = Some(Ending::Stopped);
                deadline = Instant::now() + POLITENESS;
            }
            read = from_script.read(&mut buffer), if open => match read {
                Ok(0) | Err(_) => open = false,
                Ok(count) => output.take(&buffer[..count]),
            },
        }
    };
    if ending.is_some() {
        // What the script started and did not take along.
        signal(Signal::SIGKILL);
    }
    let until = Instant::now() + AFTERWARDS;
    while open && Instant::now() < until {
        match timeout(QUIET, from_script.read(&mut buffer)).await {
            Ok(Ok(count)) if count > 0 => output.take(&buffer[..count]),
            _ => open = false,
        }
    }
    match ending {
        None => Some(outcome(status)),
        Some(Ending::TimeUp) => Some(Outcome::TimedOut),
        Some(Ending::Stopped) => None,
    }
}

/// Why a script was ended.
#[derive(Clone, Copy)]
enum Ending {
    TimeUp,
    Stopped,
}

/// SIGTERM and SIGINT: the machine goes down, or a person has had enough.
pub(super) struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    /// From now on these signals do not end the process.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn outcome(status: io::Result<ExitStatus>) -> Outcome {
    use std::os::unix::process::ExitStatusExt;
    match status.as_ref().map(|status| (status.code(), status.signal())) {
        Ok((Some(code), _)) => Outcome::Exit(code),
        Ok((None, Some(number))) => Outcome::Signal(number),
        Ok((None, None)) | Err(_) => Outcome::Unknown,
    }
}

/// A script's output on its way to the log, with its end kept.
struct Output<'a> {
    key: &'a UserDataKey,
    line: Vec<u8>,
    tail: Vec<u8>,
}

impl<'a> Output<'a> {
    fn new(key: &'a UserDataKey) -> Self {
        Self { key, line: Vec::new(), tail: Vec::new() }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for part in piece.chunks(LONGEST_LINE) {
                self.line.extend_from_slice(part);
                if self.line.ends_with(b"\n") || self.line.len() >= LONGEST_LINE {
                    self.log();
                }
            }
        }
    }

    fn log(&mut self) {
        let line = String::from_utf8_lossy(self.line.strip_suffix(b"\n").unwrap_or(&self.line));
        tracing::info!(SCW_SCRIPT = %self.key, "{}: {line}", self.key);
        self.line.clear();
    }

    fn finish(mut self) -> String {
        if !self.line.is_empty() {
            self.log();
        }
        String::from_utf8_lossy(&self.tail).into_owned()
    }
}

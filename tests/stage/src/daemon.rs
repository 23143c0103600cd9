//! A child process that runs during a test. This module keeps its output, ends it, and prints its output if the test fails.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{StageError, Step};

/// How long a daemon may take to end after SIGTERM. Far longer than any needs, even on a busy computer.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long to wait for the last lines after the child has ended. Another process may have inherited its pipe and keep it open.
const LAST_LINES: Duration = Duration::from_secs(5);

/// The lines so far, and the number of pipes that are still open.
#[derive(Debug)]
struct Printed {
    lines: Vec<String>,
    open: usize,
}

type Shared = Arc<(Mutex<Printed>, Condvar)>;

/// A running child. Dropping it kills the child, and prints its output if the thread is panicking.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    pid: Pid,
    /// Set once the child was waited for. From then on, another process may have its process id.
    ended: Option<ExitStatus>,
    printed: Shared,
}

impl Daemon {
    /// Starts a command, whose output [`Daemon::lines`] returns.
    pub fn spawn(command: &mut Command) -> Result<Daemon, StageError> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().step(format!("start {}", command.get_program().to_string_lossy()))?;
        let pid = Pid::from_raw(child.id().try_into().expect("process ids are positive"));
        let printed: Shared = Arc::new((Mutex::new(Printed { lines: Vec::new(), open: 2 }), Condvar::new()));
        collect(child.stdout.take().expect("stdout is piped"), &printed);
        collect(child.stderr.take().expect("stderr is piped"), &printed);
        Ok(Daemon { child, pid, ended: None, printed })
    }

    /// The child's process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The lines of standard output and standard error so far, in the order in which they came.
    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// The same lines as one text.
    pub fn output(&self) -> String {
        self.lock().lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Waits until `f` is true for the lines so far, or until the pipes are closed. Returns the last result of `f`.
    pub fn wait_for(&self, timeout: Duration, f: impl Fn(&[String]) -> bool) -> bool {
        f(&self.wait_while(timeout, |printed| printed.open > 0 && !f(&printed.lines)).lines)
    }

    /// Sends a signal, unless the child has been waited for.
    pub fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            // Before the child is waited for, no other process can get its id.
            _ = kill(self.pid, signal);
        }
    }

    /// Waits for the end of the child and for its last lines. Returns `None` if it still runs after `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        while self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be waited for");
            if self.ended.is_some() {
                self.drain();
            } else if Instant::now() >= deadline {
                break;
            } else {
                thread::sleep(Duration::from_millis(2));
            }
        }
        self.ended
    }

    /// Sends SIGTERM, waits for the end, and returns the exit status and the complete output.
    ///
    /// Panics if the child takes longer than five minutes.
    pub fn terminate(mut self) -> (ExitStatus, String) {
        self.signal(Signal::SIGTERM);
        let status = self.wait(PATIENCE).expect("the daemon ends on SIGTERM");
        (status, self.output())
    }

    /// Waits for the last lines, but not for a grandchild that survives and keeps the pipe open.
    fn drain(&self) {
        drop(self.wait_while(LAST_LINES, |printed| printed.open > 0));
    }

    fn wait_while(&self, timeout: Duration, f: impl Fn(&Printed) -> bool) -> MutexGuard<'_, Printed> {
        let waited = self.printed.1.wait_timeout_while(self.lock(), timeout, |printed| f(printed));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, Printed> {
        self.printed.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Collects a pipe's lines on a separate thread, until no writer remains.
fn collect(pipe: impl Read + Send + 'static, shared: &Shared) {
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        let (printed, changed) = &*shared;
        let lock = || printed.lock().unwrap_or_else(PoisonError::into_inner);
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            lock().lines.push(String::from_utf8_lossy(&line).into_owned());
            changed.notify_all();
        }
        lock().open -= 1;
        changed.notify_all();
    });
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only if the child has already ended.
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            self.drain();
            eprintln!("--- output of the child {}:\n{}---", self.pid, self.output());
        }
    }
}

//! A child that runs beside a test: keeps what it prints, stops it in time, and shows its words when the test fails.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{StageError, Step};

/// How long a daemon may take to end after a SIGTERM. Far more than any needs, on a busy machine as well.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long the last lines of a child that has ended are waited for, where another process has its pipe and keeps it open.
const LAST_LINES: Duration = Duration::from_secs(5);

/// What was printed, and how many pipes may bring more.
#[derive(Debug)]
struct Printed {
    lines: Vec<String>,
    open: usize,
}

type Shared = Arc<(Mutex<Printed>, Condvar)>;

/// A running child. Dropping it kills it, and prints what it said if the thread is panicking.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    pid: Pid,
    /// Set once it was waited for: its process id may be another's then.
    ended: Option<ExitStatus>,
    printed: Shared,
}

impl Daemon {
    /// Starts a command, with its output going to [`Daemon::lines`].
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

    /// The same as one text.
    pub fn output(&self) -> String {
        self.lock().lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Waits until `f` holds for the lines so far, at most until no more can come; returns whether it holds.
    pub fn wait_for(&self, timeout: Duration, f: impl Fn(&[String]) -> bool) -> bool {
        f(&self.wait_while(timeout, |printed| printed.open > 0 && !f(&printed.lines)).lines)
    }

    /// Sends a signal, unless the child was seen to end.
    pub fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            // Until it is waited for, the id stays its own, so this hits nobody else.
            _ = kill(self.pid, signal);
        }
    }

    /// Waits for the end of the child, and for its last lines; `None` if it still runs after `timeout`.
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

    /// Sends SIGTERM, waits for the end, and returns the exit status with all that was printed.
    ///
    /// Panics if the child takes more than five minutes.
    pub fn terminate(mut self) -> (ExitStatus, String) {
        self.signal(Signal::SIGTERM);
        let status = self.wait(PATIENCE).expect("the daemon ends on SIGTERM");
        (status, self.output())
    }

    /// Waits for the last lines, but not for those of a grandchild that lives on with the pipe.
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

/// Collects a pipe's lines on a thread of its own, until its last writer is gone.
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
        // Both fail only where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            self.drain();
            eprintln!("--- the child {} had said:\n{}---", self.pid, self.output());
        }
    }
}

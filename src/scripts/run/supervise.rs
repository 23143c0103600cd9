//! Supervises a running script: reads its output, and waits for its end or ends it (invariants S2, S4, S5).

use std::future::pending;
use std::io;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::scripts::history::record::Outcome;
use crate::scripts::model::script::Interpreter;
use crate::scripts::run::attempt_processes::AttemptProcesses;
use crate::scripts::run::launcher::{Launch, LaunchError};
use crate::scripts::run::output::ScriptOutput;
use crate::scripts::run::stop::StopSignal;
use crate::util::time::Moment;

/// How long the launcher may take to become the script. It queries the user database, which may not answer.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(30);
/// The time between SIGTERM and SIGKILL, for the script and all processes that it started.
const SIGTERM_GRACE: Duration = Duration::from_secs(10);
/// How often the supervisor checks whether these processes have ended.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// After the script's end, its last output is read until there is none for this time…
const DRAIN_QUIET_TIME: Duration = Duration::from_millis(200);
/// …but the waits for output take at most this time together. A leftover process may write for ever. The launcher's last answer has the
/// same limit.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the log may take for the last output, but not longer than the script's own timeout. A log that is slow gets the lines whole and
/// in their order. When the runner is stopped, it is [`DRAIN_TIMEOUT`]: the outcome is recorded after the last output, and must be.
const SLOW_LOG_TIMEOUT: Duration = Duration::from_secs(30);
/// The last output is read up to this size in bytes: the size of a pipe.
const MAX_DRAIN_BYTES: usize = 64 * 1024;
/// The size in bytes of the buffer for the script's output.
const READ_BUFFER_BYTES: usize = 16 * 1024;

/// A launcher that was started.
pub(crate) struct StartedScript {
    pub(crate) child: Child,
    pub(crate) from_script: Receiver,
    /// The runner's end of the socket that is the launcher's standard input.
    pub(crate) control: UnixStream,
    pub(crate) processes: AttemptProcesses,
}

/// How a script ended.
pub(crate) struct SupervisedEnd {
    /// `None`: the runner was stopped, and the script with it.
    pub(crate) outcome: Option<Outcome>,
    /// When the script's own process ended.
    pub(crate) at: Moment,
    /// The pipe of its output, if a process may still write to it.
    pub(crate) open_output: Option<Receiver>,
    /// The processes that the script started and that still run.
    pub(crate) leftovers: Vec<Pid>,
}

/// Why a script is ended before its own end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The script timed out.
    TimedOut,
    /// The runner was stopped. The script has some time to end before it gets SIGTERM.
    Grace,
    /// The runner was stopped, and the script got SIGTERM.
    Stopped,
}

/// How the script's own process ended, and when.
type ProcessEnd = (io::Result<ExitStatus>, Moment);

/// A script under supervision.
struct Supervision<'a> {
    child: Child,
    pid: Option<Pid>,
    processes: AttemptProcesses,
    from_script: Receiver,
    /// Whether a process may still write to the pipe.
    is_output_open: bool,
    buffer: Vec<u8>,
    output: &'a mut ScriptOutput,
    /// When the next step to end the script is due.
    deadline: Instant,
    ending: Option<Ending>,
    /// `None`: the script's own process still runs.
    end: Option<ProcessEnd>,
}

/// Supervises a script until it has ended: on its own, because it timed out, or because the runner was stopped. In the last
/// two cases, all processes that it started are ended, too.
pub(crate) async fn supervise(
    started: StartedScript,
    launch: &Launch,
    (interpreter, time): (&Interpreter, Duration),
    stop: &mut StopSignal,
    output: &mut ScriptOutput,
) -> SupervisedEnd {
    let StartedScript { child, from_script, control, processes } = started;
    let mut script = Supervision::new(child, from_script, processes, time, output);
    let mut child_signals = signal(SignalKind::child()).ok();
    let mut launching = pin!(launch.send(control));
    // The result of the launch, as soon as it is known.
    let mut launched = None;
    let launch_deadline = Instant::now() + LAUNCH_TIMEOUT;
    let (status, at) = loop {
        if let Some(end) = script.take_end() {
            break end;
        }
        tokio::select! {
            // Reading is last: a script that prints without a pause must not block the other branches.
            biased;
            status = script.child.wait(), if script.end.is_none() => script.end = Some((status, Moment::now())),
            () = sleep_until(script.deadline) => if let Some(end) = script.end_next_step().await {
                break end;
            },
            grace = stop.wait(), if script.ending.is_none() => script.begin_grace(grace),
            refused = &mut launching, if launched.is_none() => launched = Some(refused),
            () = sleep_until(launch_deadline), if launched.is_none() => launched = Some(Some(script.cancel_launch())),
            () = any_child_ended(&mut child_signals) => script.processes.reap(script.pid),
            () = script.output.pass_on(), if script.output.is_waiting() => {}
            () = sleep(POLL_INTERVAL), if script.end.is_some() => {}
            read = script.from_script.read(&mut script.buffer), if script.can_read() => script.take_output(read),
        }
    };
    let refused = match launched {
        Some(refused) => refused,
        // The launcher's end of the socket is closed, at the latest by its death.
        None => timeout(DRAIN_TIMEOUT, launching).await.unwrap_or_default(),
    };
    let limit = script.drain_limit();
    let Supervision { processes, mut from_script, is_output_open, buffer, output, ending, .. } = script;
    let stopped = async {
        stop.wait().await;
        sleep(DRAIN_TIMEOUT).await;
    };
    let last_output = async {
        output.pass_on().await;
        is_output_open && drain_output(&mut from_script, buffer, output).await
    };
    let is_open = tokio::select! {
        is_open = last_output => is_open,
        () = stopped => is_output_open,
        () = sleep(limit) => is_output_open,
    };
    let open_output = is_open.then_some(from_script);
    let outcome = outcome(ending, refused, &status, interpreter);
    SupervisedEnd { outcome, at, open_output, leftovers: processes.all() }
}

impl<'a> Supervision<'a> {
    fn new(
        child: Child,
        from_script: Receiver,
        processes: AttemptProcesses,
        time: Duration,
        output: &'a mut ScriptOutput,
    ) -> Self {
        Self {
            pid: child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw),
            child,
            processes,
            from_script,
            is_output_open: true,
            buffer: vec![0; READ_BUFFER_BYTES],
            output,
            deadline: Instant::now() + time,
            ending: None,
            end: None,
        }
    }

    /// The end of the script, once its own process has ended and, if the script got SIGTERM, all its other processes have, too.
    fn take_end(&mut self) -> Option<ProcessEnd> {
        let got_sigterm = matches!(self.ending, Some(Ending::TimedOut | Ending::Stopped));
        self.end.take_if(|_| !got_sigterm || self.processes.are_gone())
    }

    /// Takes the next step to end the script after a deadline: SIGTERM, then SIGKILL. Returns the script's end if its own
    /// process had ended before the SIGKILL to the others.
    async fn end_next_step(&mut self) -> Option<ProcessEnd> {
        match self.ending {
            None => self.ending = Some(Ending::TimedOut),
            Some(Ending::Grace) => self.ending = Some(Ending::Stopped),
            Some(Ending::TimedOut | Ending::Stopped) => {
                self.processes.kill(self.pid).await;
                let _ = self.child.start_kill();
                if let Some(end) = self.end.take() {
                    return Some(end);
                }
            }
        }
        self.processes.terminate();
        self.deadline = Instant::now() + SIGTERM_GRACE;
        None
    }

    /// The runner was stopped: the script may go on for this time, but not longer than its timeout.
    fn begin_grace(&mut self, grace: Duration) {
        self.ending = Some(Ending::Grace);
        self.deadline = self.deadline.min(Instant::now() + grace);
    }

    /// How long the log may take for the last output.
    fn drain_limit(&self) -> Duration {
        match self.ending {
            None => self.deadline.duration_since(Instant::now()).clamp(DRAIN_TIMEOUT, SLOW_LOG_TIMEOUT),
            Some(_) => DRAIN_TIMEOUT,
        }
    }

    /// Kills a launcher that has not become the script in time.
    fn cancel_launch(&mut self) -> LaunchError {
        let _ = self.child.start_kill();
        let seconds = LAUNCH_TIMEOUT.as_secs();
        LaunchError::Failed(format!("no start within {seconds} s; the user database may not answer"))
    }

    /// Whether the pipe is to be read: it is open, and the log has taken all earlier lines.
    fn can_read(&self) -> bool {
        self.is_output_open && !self.output.is_waiting()
    }

    /// Takes what was read from the pipe.
    fn take_output(&mut self, read: io::Result<usize>) {
        match read {
            Ok(0) | Err(_) => self.is_output_open = false,
            Ok(count) => self.output.take(&self.buffer[..count]),
        }
    }
}

/// Waits until any child of the runner ends.
async fn any_child_ended(child_signals: &mut Option<tokio::signal::unix::Signal>) {
    match child_signals {
        Some(child_signals) => drop(child_signals.recv().await),
        None => pending().await,
    }
}

/// Reads the last output of a script that has ended, and passes it to the log. Returns whether a process may still write to the pipe.
async fn drain_output(from_script: &mut Receiver, mut buffer: Vec<u8>, output: &mut ScriptOutput) -> bool {
    let (mut remaining, mut wait) = (MAX_DRAIN_BYTES, DRAIN_TIMEOUT);
    loop {
        output.pass_on().await;
        if remaining == 0 || wait.is_zero() {
            return true;
        }
        let start = Instant::now();
        let count = match timeout(DRAIN_QUIET_TIME.min(wait), from_script.read(&mut buffer)).await {
            Ok(Ok(count)) if count > 0 => count,
            Ok(_) => return false,
            Err(_) => return true,
        };
        output.take(&buffer[..count]);
        remaining = remaining.saturating_sub(count);
        wait = wait.saturating_sub(start.elapsed());
    }
}

/// The outcome of a script. `refused`: why the launcher did not execute it.
fn outcome(
    ending: Option<Ending>,
    refused: Option<LaunchError>,
    status: &io::Result<ExitStatus>,
    interpreter: &Interpreter,
) -> Option<Outcome> {
    match ending {
        None | Some(Ending::Grace) if refused.is_some() => refused.map(|why| not_run(interpreter, why)),
        // Whatever stopped the runner also sent SIGTERM to the script.
        Some(Ending::Grace) if exit_outcome(status) == Outcome::Signal(Signal::SIGTERM as i32) => None,
        None | Some(Ending::Grace) => Some(exit_outcome(status)),
        Some(Ending::TimedOut) => Some(Outcome::TimedOut),
        Some(Ending::Stopped) => None,
    }
}

fn not_run(interpreter: &Interpreter, why: LaunchError) -> Outcome {
    Outcome::NotRun(match why {
        LaunchError::Missing => format!("{interpreter} is not on this machine"),
        LaunchError::Failed(why) => format!("{interpreter} cannot be started: {why}"),
    })
}

/// The outcome by the exit status of the script's own process.
fn exit_outcome(status: &io::Result<ExitStatus>) -> Outcome {
    use std::os::unix::process::ExitStatusExt;
    match status.as_ref().map(|status| (status.code(), status.signal())) {
        Ok((Some(code), _)) => Outcome::Exit(code),
        Ok((None, Some(number))) => Outcome::Signal(number),
        Ok((None, None)) | Err(_) => Outcome::Unknown,
    }
}

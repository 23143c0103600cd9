//! A script that runs: its output is read, and its end awaited or brought about (invariants S2, S4, S5).

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
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::scripts::history::record::Outcome;
use crate::scripts::model::script::Interpreter;
use crate::scripts::run::attempt_processes::AttemptProcesses;
use crate::scripts::run::launcher::{Launch, LaunchError};
use crate::scripts::run::output::ScriptOutput;
use crate::scripts::run::stop::Stop;
use crate::util::time::Moment;

/// How long the launcher may take to become the script: it asks the user database, which may not answer.
const LAUNCHING: Duration = Duration::from_secs(30);
/// The time between SIGTERM and SIGKILL, for a script and all that it started.
const SIGTERM_TO_SIGKILL: Duration = Duration::from_secs(10);
/// Between two looks whether they have ended.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// After the script ended, its last output is read until none comes for so long…
const QUIET: Duration = Duration::from_millis(200);
/// …but no longer than this in all, nor more bytes than a pipe holds: what it left behind may go on for ever.
const AFTERWARDS: Duration = Duration::from_secs(1);
const IN_PIPE: usize = 64 * 1024;

/// A launcher that was started.
pub(crate) struct StartedScript {
    pub(crate) child: Child,
    pub(crate) from_script: Receiver,
    /// Our end of the launcher's standard input.
    pub(crate) control: UnixStream,
    pub(crate) processes: AttemptProcesses,
}

/// How it ended.
pub(crate) struct SupervisedEnd {
    /// None when we were told to stop: the script was cut off.
    pub(crate) outcome: Option<Outcome>,
    /// When its own process ended.
    pub(crate) at: Moment,
    /// Its output, if somebody may still write there.
    pub(crate) still_open: Option<Receiver>,
    /// What it started and still runs.
    pub(crate) left: Vec<Pid>,
}

/// Why a script is ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Its time was up.
    TimeUp,
    /// The runner was told to stop. The script has not been told yet.
    Grace,
    /// The runner was told to stop, and the script was told as well.
    Stopped,
}

/// Reads and waits until the script has ended: on its own, because its time was up, or because we were told to stop. In the last two cases
/// all that it started is ended, too.
pub(crate) async fn attend(
    started: StartedScript,
    launch: &Launch,
    (interpreter, time): (&Interpreter, Duration),
    stop: &mut Stop,
    output: &mut ScriptOutput,
) -> SupervisedEnd {
    let StartedScript { mut child, mut from_script, control, mut processes } = started;
    let script = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let mut children = signal(SignalKind::child()).ok();
    let mut launching = pin!(launch.send(control));
    // What came of launching, once that is known.
    let mut launched = None;
    let mut buffer = vec![0; 16 * 1024];
    let mut open = true;
    let mut deadline = Instant::now() + time;
    let launch_deadline = Instant::now() + LAUNCHING;
    let mut ending = None;
    // Its own end, when that has come.
    let mut end = None;
    let (status, at) = loop {
        // It is over when its own process has ended and, if it was told to end, all others have.
        if let Some(ended) = end.take_if(|_| !is_told(ending) || processes.are_gone()) {
            break ended;
        }
        tokio::select! {
            // The reading comes last: a script that prints without a pause must not keep us from the rest.
            biased;
            status = child.wait(), if end.is_none() => end = Some((status, Moment::now())),
            () = sleep_until(deadline) => {
                match ending {
                    None => ending = Some(Ending::TimeUp),
                    Some(Ending::Grace) => ending = Some(Ending::Stopped),
                    Some(_) => {
                        processes.kill(script).await;
                        let _ = child.start_kill();
                        if let Some(ended) = end {
                            break ended;
                        }
                    }
                }
                processes.terminate();
                deadline = Instant::now() + SIGTERM_TO_SIGKILL;
            }
            grace = stop.asked(), if ending.is_none() => {
                ending = Some(Ending::Grace);
                deadline = deadline.min(Instant::now() + grace);
            }
            refused = &mut launching, if launched.is_none() => launched = Some(refused),
            () = sleep_until(launch_deadline), if launched.is_none() => {
                let why = format!("no start within {} s; the user database may not answer", LAUNCHING.as_secs());
                launched = Some(Some(LaunchError::Failed(why)));
                let _ = child.start_kill();
            }
            () = next(&mut children) => processes.reap(script),
            () = output.pass_on(), if output.is_waiting() => {}
            () = sleep(BETWEEN_LOOKS), if end.is_some() => {}
            read = from_script.read(&mut buffer), if open && !output.is_waiting() => match read {
                Ok(0) | Err(_) => open = false,
                Ok(count) => output.take(&buffer[..count]),
            },
        }
    };
    let refused = match launched {
        Some(refused) => refused,
        // Its end of the socket is closed, if by nothing else then by its death.
        None => timeout(AFTERWARDS, launching).await.unwrap_or_default(),
    };
    let still_open = if open { read_rest(from_script, buffer, output).await } else { None };
    let outcome = match ending {
        None | Some(Ending::Grace) if refused.is_some() => refused.map(|why| not_run(interpreter, why)),
        // Whoever stopped the runner, stopped the script as well.
        Some(Ending::Grace) if outcome(&status) == Outcome::Signal(Signal::SIGTERM as i32) => None,
        None | Some(Ending::Grace) => Some(outcome(&status)),
        Some(Ending::TimeUp) => Some(Outcome::TimedOut),
        Some(Ending::Stopped) => None,
    };
    SupervisedEnd { outcome, at, still_open, left: processes.all() }
}

/// Whether the script and all that it started were told to end.
fn is_told(ending: Option<Ending>) -> bool {
    matches!(ending, Some(Ending::TimeUp | Ending::Stopped))
}

/// Waits for the end of any child.
async fn next(children: &mut Option<tokio::signal::unix::Signal>) {
    match children {
        Some(children) => drop(children.recv().await),
        None => pending().await,
    }
}

/// The last output of a script that has ended; its pipe, unless nobody has the other end any more.
async fn read_rest(
    mut from_script: Receiver,
    mut buffer: Vec<u8>,
    output: &mut ScriptOutput,
) -> Option<Receiver> {
    let until = Instant::now() + AFTERWARDS;
    let mut rest = IN_PIPE;
    while rest > 0 && Instant::now() < until {
        if timeout_at(until, output.pass_on()).await.is_err() {
            break;
        }
        match timeout(QUIET, from_script.read(&mut buffer)).await {
            Ok(Ok(count)) if count > 0 => {
                output.take(&buffer[..count]);
                rest = rest.saturating_sub(count);
            }
            Ok(_) => return None,
            Err(_) => break,
        }
    }
    Some(from_script)
}

fn not_run(interpreter: &Interpreter, why: LaunchError) -> Outcome {
    Outcome::NotRun(match why {
        LaunchError::Missing => format!("{interpreter} is not on this machine"),
        LaunchError::Failed(why) => format!("{interpreter} cannot be started: {why}"),
    })
}

fn outcome(status: &io::Result<ExitStatus>) -> Outcome {
    use std::os::unix::process::ExitStatusExt;
    match status.as_ref().map(|status| (status.code(), status.signal())) {
        Ok((Some(code), _)) => Outcome::Exit(code),
        Ok((None, Some(number))) => Outcome::Signal(number),
        Ok((None, None)) | Err(_) => Outcome::Unknown,
    }
}

//! Running one script: its file ([`super::script_file`]), its launcher ([`super::launch`]), its environment, its end (invariants S2, S3, S5).

use std::io;
use std::path::Path;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, pipe2};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};

use super::account::Account;
use super::launch::{Identity, Launch, Program, Refusal};
use super::output::Output;
use super::record::Outcome;
use super::script::Script;
use super::script_file::ScriptFile;
use crate::log;
use crate::metadata::UserDataKey;

/// Between asking a script to end and ending it.
const POLITENESS: Duration = Duration::from_secs(10);
/// After the script ended, its last output is read until none comes for so long…
const QUIET: Duration = Duration::from_millis(200);
/// …but no longer than this in all: what it left behind may go on for ever.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// What a script is run with.
pub(super) struct Order<'a> {
    pub(super) key: &'a UserDataKey,
    /// The attempt's own identifier.
    pub(super) run: &'a str,
    pub(super) script: &'a Script<'a>,
    /// The folder in which each attempt has a folder of its own.
    pub(super) folder: &'a Path,
    pub(super) account: &'a Account,
    pub(super) timeout: Duration,
    /// Beside the fixed PATH, LANG and what follows from the account.
    pub(super) environment: Vec<(String, String)>,
}

/// Runs the script to its end; the outcome, if it got to one, and the end of its output.
pub(super) async fn execute(order: &Order<'_>, stop: &mut Stop) -> (Option<Outcome>, String) {
    let mut output = Output::new(order.key);
    let outcome = match put(order) {
        Ok(file) => {
            let outcome = match start() {
                Ok(started) => attend(started, &launch(order, file.path()), order, stop, &mut output).await,
                Err(why) => {
                    Some(Outcome::NotRun(format!("the launcher of scripts cannot be started: {why}")))
                }
            };
            if let Err(why) = file.remove() {
                tracing::warn!(SCW_SCRIPT = %order.key, "{}: its folder in {} cannot be removed: {why}", order.key, order.folder.display());
            }
            outcome
        }
        Err(why) => Some(Outcome::NotRun(why)),
    };
    (outcome, output.finish().await)
}

/// A launcher that was started.
struct Started {
    child: Child,
    from_script: Receiver,
    /// Our end of the launcher's standard input.
    control: UnixStream,
}

/// Writes the script's file.
fn put(order: &Order<'_>) -> Result<ScriptFile, String> {
    let Account { uid, gid, .. } = *order.account;
    let create = |folder: &Path| ScriptFile::create(folder, order.run, order.script.body, uid, gid);
    let failed = |folder: &Path, why| format!("the script cannot be put into {}: {why}", folder.display());
    match create(order.folder) {
        // A user's script can fill that file system with its own file. It must not keep root's scripts from running.
        Err(why) if why.kind() == io::ErrorKind::StorageFull && order.account.is_root() => {
            let other = order.folder.with_file_name("scripts-of-root");
            create(&other).map_err(|why| failed(&other, why))
        }
        created => created.map_err(|why| failed(order.folder, why)),
    }
}

/// Starts the launcher, which is still root and waits for what it is to become.
fn start() -> io::Result<Started> {
    // One pipe for both streams keeps their lines in order.
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    let second_writer = writer.try_clone()?;
    let (control, theirs) = std::os::unix::net::UnixStream::pair()?;
    control.set_nonblocking(true)?;
    let child = Launch::command(theirs).stdout(writer).stderr(second_writer).spawn()?;
    Ok(Started {
        child,
        from_script: Receiver::from_owned_fd(reader)?,
        control: UnixStream::from_std(control)?,
    })
}

/// What the launcher is to become.
fn launch(order: &Order<'_>, path: &Path) -> Launch {
    let Account { name, uid, gid, home, shell } = order.account;
    let interpreter = &order.script.interpreter;
    let fixed = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("LANG", "C.UTF-8"),
        ("HOME", home),
        ("USER", name),
        ("LOGNAME", name),
        ("SHELL", shell),
    ];
    let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    // The interpreter is named, not left to the kernel: this works where the folder is mounted noexec.
    let path = path.to_string_lossy().into_owned();
    Launch {
        identity: Identity { user: name.clone(), uid: *uid, gid: *gid },
        program: Program {
            path: interpreter.program.clone(),
            arguments: interpreter.argument.iter().cloned().chain([path]).collect(),
            environment: fixed.chain(order.environment.iter().cloned()).collect(),
        },
    }
}

/// Reads and waits until the script has ended: on its own, because its time was up, or because we were told to stop (then there is no
/// outcome: the script was cut off).
async fn attend(
    started: Started,
    launch: &Launch,
    order: &Order<'_>,
    stop: &mut Stop,
    output: &mut Output,
) -> Option<Outcome> {
    let Started { mut child, mut from_script, control } = started;
    let mut launching = pin!(launch.send(control));
    // What came of launching, once that is known.
    let mut launched = None;
    let mut buffer = vec![0; 16 * 1024];
    let mut open = true;
    let mut deadline = Instant::now() + order.timeout;
    let mut ending = None;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    // Until the launcher has made a session of its own, there is no such group.
    let signal = |signal| group.map(|group| killpg(group, signal).or_else(|_| kill(group, signal)));
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
            refused = &mut launching, if launched.is_none() => launched = Some(refused),
            () = output.pass_on(), if output.is_waiting() => {}
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
    if ending.is_some() {
        // What the script started and did not take along. Its own process id may be another's by now, so the group alone is meant.
        let _ = group.map(|group| killpg(group, Signal::SIGKILL));
    }
    let until = Instant::now() + AFTERWARDS;
    while open && Instant::now() < until {
        match timeout(QUIET, from_script.read(&mut buffer)).await {
            Ok(Ok(count)) if count > 0 => output.take(&buffer[..count]),
            // Nobody has the other end any more.
            Ok(_) => open = false,
            Err(_) => break,
        }
    }
    if open {
        follow(from_script, order.key);
    }
    match ending {
        None if refused.is_some() => {
            let interpreter = &order.script.interpreter;
            refused.map(|why| match why {
                Refusal::Missing => Outcome::NotRun(format!("{interpreter} is not on this machine")),
                Refusal::Failed(why) => Outcome::NotRun(format!("{interpreter} cannot be started: {why}")),
            })
        }
        None => Some(outcome(status)),
        Some(Ending::TimeUp) => Some(Outcome::TimedOut),
        Some(Ending::Stopped) => None,
    }
}

/// What the script left running may go on writing: a process of ours goes on reading, so that it gets no SIGPIPE, and its lines reach the
/// log (law S4). It ends with the last writer.
fn follow(from_script: Receiver, key: &UserDataKey) {
    let followed = from_script.into_blocking_fd().and_then(|pipe| {
        let mut command = std::process::Command::new("/proc/self/exe");
        command.args(["setup", "follow", key.as_str()]).stdin(pipe).stdout(Stdio::null());
        if !log::is_the_journal() {
            // Whoever waits for the end of a person's command must not wait for what a script left running.
            command.stderr(Stdio::null());
        }
        std::os::unix::process::CommandExt::process_group(&mut command, 0).spawn()
    });
    if let Err(why) = followed {
        tracing::warn!(SCW_SCRIPT = %key, "{key}: what it left running writes to nobody from now on: {why}");
    }
}

/// The follower itself: lines from standard input to the log, until there is no writer any more.
pub async fn follower(key: &UserDataKey) -> io::Result<()> {
    let mut from_script = Receiver::from_owned_fd(nix::unistd::dup(io::stdin())?)?;
    let mut output = Output::new(key);
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match from_script.read(&mut buffer).await? {
            0 => break,
            count => output.take(&buffer[..count]),
        }
        output.pass_on().await;
    }
    output.finish().await;
    Ok(())
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

    /// Waits for one of them.
    pub(super) async fn asked(&mut self) {
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

//! Running one script: its file, its environment, its end (laws S2, S3, S5).
//!
//! The file stands in /run, so that no secret in a script comes to rest on a disk, in a folder that only its user can enter.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
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

use super::account::Account;
use super::output::Output;
use super::record::Outcome;
use super::script::Script;
use crate::files;
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
    pub(super) script: &'a Script<'a>,
    /// The folder in which each script has one of its own while it runs.
    pub(super) folder: &'a Path,
    pub(super) account: &'a Account,
    pub(super) timeout: Duration,
    /// Beside the fixed PATH, LANG and what follows from the account.
    pub(super) environment: Vec<(String, String)>,
}

/// Runs the script to its end; the outcome, if it got to one, and the end of its output.
pub(super) async fn execute(order: &Order<'_>, stop: &mut Stop) -> (Option<Outcome>, String) {
    let mut output = Output::new(order.key);
    let own = order.folder.join(&*order.key.to_path_segment());
    let outcome = match put(order, &own).and_then(|path| start(order, &path)) {
        Ok((child, from_script)) => attend(child, from_script, order, stop, &mut output).await,
        Err(why) => Some(Outcome::NotRun(why)),
    };
    // It may have removed itself.
    let _ = fs::remove_dir_all(own);
    (outcome, output.finish().await)
}

/// Puts the script where its user can read it and nobody else.
fn put(order: &Order<'_>, own: &Path) -> Result<PathBuf, String> {
    let interpreter = &order.script.interpreter;
    if !Path::new(&interpreter.program).exists() {
        return Err(format!("the script's interpreter {} is not on this machine", interpreter.program));
    }
    let path = own.join("script");
    let Account { uid, gid, .. } = order.account;
    let written = || -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o711).create(order.folder)?;
        fs::set_permissions(order.folder, Permissions::from_mode(0o711))?;
        files::remove_anything(own);
        files::private_folder(own)?;
        files::write_whole(&path, order.script.body, 0o500)?;
        // The folder last: until then the user cannot interfere.
        chown(&path, Some(*uid), Some(*gid))?;
        chown(own, Some(*uid), Some(*gid))
    };
    written().map_err(|why| format!("the script cannot be put into {}: {why}", own.display()))?;
    Ok(path)
}

fn start(order: &Order<'_>, path: &Path) -> Result<(Child, Receiver), String> {
    let interpreter = &order.script.interpreter;
    let broken = |why: io::Error| format!("the interpreter {} cannot be started: {why}", interpreter.program);
    // One pipe for both streams keeps their lines in order.
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(|why| broken(why.into()))?;
    let second_writer = writer.try_clone().map_err(broken)?;
    // The interpreter is named, not left to the kernel: this works where the folder is mounted noexec.
    let mut command = if order.account.is_root() {
        Command::new(&interpreter.program)
    } else {
        // Of util-linux, and so on every distribution: it gives the user's further groups as well.
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={}", order.account.uid)).arg(format!("--regid={}", order.account.gid));
        command.args(["--init-groups", "--inh-caps=-all", "--"]).arg(&interpreter.program);
        command
    };
    command.args(&interpreter.argument).arg(path);
    let Account { name, home, shell, .. } = order.account;
    command.env_clear().envs([
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("LANG", "C.UTF-8"),
        ("HOME", home),
        ("USER", name),
        ("LOGNAME", name),
        ("SHELL", shell),
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
    order: &Order<'_>,
    stop: &mut Stop,
    output: &mut Output,
) -> Option<Outcome> {
    let mut buffer = vec![0; 16 * 1024];
    let mut open = true;
    let mut deadline = Instant::now() + order.timeout;
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
            () = output.pass_on(), if output.is_waiting() => {}
            read = from_script.read(&mut buffer), if open && !output.is_waiting() => match read {
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
            // Nobody has the other end any more.
            Ok(_) => open = false,
            Err(_) => break,
        }
    }
    if open {
        follow(from_script, order.key);
    }
    match ending {
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

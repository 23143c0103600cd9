//! The launcher: the agent started once more, which becomes a script (invariant S3, and no root for a script's user).
//!
//! The runner starts it as root with an empty environment, and sends it a [`Launch`] over the socket that is its standard input:
//! nothing of a script stands in arguments, which other users can read. It drops root's rights first. Only then it takes the
//! script's variables and executes the interpreter, so a variable such as `LD_PRELOAD` never acts on a process that is root.
//! It answers that it is about to execute, and if that fails, why. The socket is closed on execution.
//!
//! The script is a session of its own: it has no terminal, so a user's script cannot type into the shell of whoever started the runner.
//!
//! It must not decide what runs, nor touch files.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::iter;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;

use caps::CapSet;
use nix::sys::signal::SigSet;
use nix::unistd::{
    Gid, ResGid, ResUid, Uid, close, dup2_stdin, execve, getresgid, getresuid, initgroups, setresgid,
    setresuid, setsid,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};

use crate::util::printable;

/// Far over any message: a script's settings are lines of its own value.
const LARGEST: u64 = 16 * 1024 * 1024;
/// The reason that comes back is one line.
const LONGEST_REASON: u64 = 4096;

/// As whom a script runs: the first line of the message.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LaunchUser {
    pub(crate) user: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// What is executed: the second line of the message, which is read after root's rights were dropped.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LaunchProgram {
    pub(crate) path: String,
    pub(crate) arguments: Vec<String>,
    /// The whole environment.
    pub(crate) environment: Vec<(String, String)>,
}

/// Why a script was not started.
#[derive(Debug)]
pub(crate) enum LaunchError {
    /// There is no such interpreter.
    Missing,
    /// Anything else, in words.
    Failed(String),
}

/// The launcher's answer: this, and nothing more if the program was executed.
const READY: u8 = b'R';
/// Behind it, or in its place: there is no such interpreter.
const MISSING: u8 = b'M';

/// The whole message.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) identity: LaunchUser,
    pub(crate) program: LaunchProgram,
}

impl Launch {
    /// The runner's side: the launcher, to be started with `control` as its standard input.
    pub(crate) fn command(control: UnixStream) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("/proc/self/exe");
        command.args(["setup", "launch"]).env_clear().current_dir("/");
        command.stdin(Stdio::from(std::os::fd::OwnedFd::from(control)));
        command
    }

    /// Sends the message to a launcher, and waits until it executed the program: `None`, or the reason why it did not.
    pub(crate) async fn send(&self, mut control: tokio::net::UnixStream) -> Option<LaunchError> {
        let exchanged = async {
            let mut message = serde_json::to_vec(&self.identity)?;
            message.push(b'\n');
            message.extend(serde_json::to_vec(&self.program)?);
            control.write_all(&message).await?;
            control.shutdown().await?;
            let mut reason = Vec::new();
            (&mut control).take(LONGEST_REASON).read_to_end(&mut reason).await?;
            Ok::<_, io::Error>(reason)
        };
        match exchanged.await {
            Ok(answer) => match answer.strip_prefix(&[READY]).unwrap_or(&answer) {
                [] if answer.is_empty() => {
                    Some(LaunchError::Failed("the launcher ended too early".to_owned()))
                }
                [] => None,
                [MISSING] => Some(LaunchError::Missing),
                why => Some(LaunchError::Failed(String::from_utf8_lossy(why).into_owned())),
            },
            Err(why) => Some(LaunchError::Failed(format!("the launcher did not answer: {why}"))),
        }
    }
}

/// The launcher's side. It returns only if the program could not be executed; the runner has the reason by then.
pub(crate) fn launcher() -> io::Error {
    // Closed on execution, as everything that the standard library opens.
    let control = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(control) => UnixStream::from(control),
        Err(why) => return why,
    };
    let (answer, why) = match prepare(&control) {
        Ok(program) => {
            let _ = (&control).write_all(&[READY]);
            let why = execute(&program);
            let is_missing = why.kind() == io::ErrorKind::NotFound && !Path::new(&program.path).exists();
            (if is_missing { vec![MISSING] } else { why.to_string().into_bytes() }, why)
        }
        Err(why) => (why.to_string().into_bytes(), why),
    };
    let _ = (&control).write_all(&answer);
    why
}

/// Reads the message and becomes the script's user: what is to be executed.
fn prepare(control: &UnixStream) -> io::Result<LaunchProgram> {
    close_inherited(control)?;
    setsid()?;
    let mut message = Vec::new();
    control.take(LARGEST).read_to_end(&mut message)?;
    let at = message.iter().position(|byte| *byte == b'\n').ok_or(io::ErrorKind::UnexpectedEof)?;
    let (identity, program) = message.split_at(at);
    // serde's own message would quote a variable's value.
    let malformed = |why| io::Error::other(printable::json_fault(&why));
    become_user(&serde_json::from_slice(identity).map_err(malformed)?)?;
    let program = serde_json::from_slice(program).map_err(malformed)?;
    dup2_stdin(File::open("/dev/null")?)?;
    Ok(program)
}

/// Executes the program; returns only if that failed, and why.
///
/// Not by the standard library's `exec`: what the kernel cannot execute, it has a shell read, such as a program for another processor.
fn execute(program: &LaunchProgram) -> io::Error {
    let run = || -> io::Result<Infallible> {
        let text = |text: &str| CString::new(text).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
        let path = text(&program.path)?;
        let arguments = program.arguments.iter().map(|argument| text(argument));
        let arguments = iter::once(Ok(path.clone())).chain(arguments).collect::<io::Result<Vec<_>>>()?;
        // Of two variables with one name, the later one counts.
        let mut variables: Vec<&(String, String)> = Vec::new();
        for variable in &program.environment {
            variables.retain(|earlier| earlier.0 != variable.0);
            variables.push(variable);
        }
        let variables = variables.into_iter().map(|(name, value)| text(&format!("{name}={value}")));
        let variables = variables.collect::<io::Result<Vec<_>>>()?;
        // The standard library had SIGPIPE ignored, and a program that is executed keeps that. What is handled becomes the default again.
        let handles = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let _handled = handles.block_on(async { signal(SignalKind::pipe()) })?;
        SigSet::empty().thread_set_mask()?;
        match execve(&path, &arguments, &variables)? {}
    };
    let Err(why) = run();
    why
}

/// What a person's shell left open is not for a script.
fn close_inherited(control: &UnixStream) -> io::Result<()> {
    // The list is complete before the first is closed: reading it takes a descriptor, too.
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2 && *number != control.as_raw_fd())
        .collect();
    for number in open {
        // The one of the list itself is closed already.
        let _ = close(number);
    }
    Ok(())
}

/// Gives up root's rights for good. Root's own scripts keep them.
fn become_user(identity: &LaunchUser) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    if uid.is_root() {
        return Ok(());
    }
    let name = CString::new(identity.user.as_str()).map_err(|_| io::ErrorKind::InvalidInput)?;
    initgroups(&name, gid)?;
    setresgid(gid, gid, gid)?;
    // This also clears the permitted, effective and ambient capabilities.
    setresuid(uid, uid, uid)?;
    caps::clear(None, CapSet::Inheritable).map_err(io::Error::other)?;
    let is_whole = getresuid()? == ResUid { real: uid, effective: uid, saved: uid }
        && getresgid()? == ResGid { real: gid, effective: gid, saved: gid };
    if !is_whole || setresuid(uid, Uid::from_raw(0), uid).is_ok() {
        return Err(io::Error::other("root's rights could not be dropped"));
    }
    Ok(())
}

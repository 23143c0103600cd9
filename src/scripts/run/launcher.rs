//! The launcher: a second process of the agent, which becomes the script (invariant S3). A script's user must not become root.
//!
//! The runner starts it as root with an empty environment. It sends a [`Launch`] message over the socket that is the
//! launcher's standard input; other users could read arguments. The launcher first drops root's privileges. Only then it
//! reads the script's variables and executes the interpreter, so a variable such as `LD_PRELOAD` never affects a process of
//! root's. It answers when it is about to execute, and with the reason if that fails. The execution closes the socket.
//!
//! The script has its own session without a terminal, so a user's script cannot type into the shell that started the runner.
//!
//! The launcher must not decide what runs, and must not touch files.

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

/// The maximum size of the message in bytes. No message is that large: the settings of a script are lines of its value.
const MAX_MESSAGE_BYTES: u64 = 16 * 1024 * 1024;
/// The maximum size of the answer in bytes. A reason is one line.
const MAX_ANSWER_BYTES: u64 = 4096;

/// The user that the script runs as: the first line of the message.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LaunchUser {
    pub(crate) user: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The program to execute: the second line of the message, which is parsed after root's privileges are dropped.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LaunchProgram {
    pub(crate) path: String,
    pub(crate) arguments: Vec<String>,
    /// The complete environment.
    pub(crate) environment: Vec<(String, String)>,
}

/// Why a script did not start.
#[derive(Debug)]
pub(crate) enum LaunchError {
    /// The interpreter does not exist.
    Missing,
    /// Any other reason, as text.
    Failed(String),
}

/// The launcher's answer before it executes the program. Nothing follows if the execution succeeds.
const READY: u8 = b'R';
/// The launcher's answer after [`READY`] or instead of it: the interpreter does not exist.
const MISSING: u8 = b'M';

/// The message to the launcher.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) identity: LaunchUser,
    pub(crate) program: LaunchProgram,
}

impl Launch {
    /// For the runner: the command that starts the launcher, with `control` as its standard input.
    pub(crate) fn command(control: UnixStream) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("/proc/self/exe");
        command.args(["setup", "launch"]).env_clear().current_dir("/");
        command.stdin(Stdio::from(std::os::fd::OwnedFd::from(control)));
        command
    }

    /// For the runner: sends the message to the launcher, and waits until it has executed the program. `None`, or the reason
    /// why it did not execute it.
    pub(crate) async fn send(&self, mut control: tokio::net::UnixStream) -> Option<LaunchError> {
        let exchange = async {
            let mut message = serde_json::to_vec(&self.identity)?;
            message.push(b'\n');
            message.extend(serde_json::to_vec(&self.program)?);
            control.write_all(&message).await?;
            control.shutdown().await?;
            let mut answer = Vec::new();
            (&mut control).take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
            Ok::<_, io::Error>(answer)
        };
        match exchange.await {
            Ok(answer) => match answer.strip_prefix(&[READY]).unwrap_or(&answer) {
                [] if answer.is_empty() => {
                    Some(LaunchError::Failed("the launcher ended before it answered".to_owned()))
                }
                [] => None,
                [MISSING] => Some(LaunchError::Missing),
                why => Some(LaunchError::Failed(String::from_utf8_lossy(why).into_owned())),
            },
            Err(why) => Some(LaunchError::Failed(format!("the launcher did not answer: {why}"))),
        }
    }
}

/// Runs the launcher. It returns only if the program could not be executed, after it has sent the reason to the runner.
pub(crate) fn run_launcher() -> io::Error {
    // The duplicate is closed on execution, like every descriptor that the standard library opens.
    let control = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(control) => UnixStream::from(control),
        Err(why) => return why,
    };
    let (answer, why) = match receive_launch(&control) {
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

/// Reads the message and becomes the script's user. Returns the program to execute.
fn receive_launch(control: &UnixStream) -> io::Result<LaunchProgram> {
    close_inherited(control)?;
    setsid()?;
    let mut message = Vec::new();
    control.take(MAX_MESSAGE_BYTES).read_to_end(&mut message)?;
    let line_end = message.iter().position(|byte| *byte == b'\n').ok_or(io::ErrorKind::UnexpectedEof)?;
    let (identity, program) = message.split_at(line_end);
    // serde's own message would quote the value of a variable.
    let malformed = |why| io::Error::other(printable::json_fault(&why));
    become_user(&serde_json::from_slice(identity).map_err(malformed)?)?;
    let program = serde_json::from_slice(program).map_err(malformed)?;
    dup2_stdin(File::open("/dev/null")?)?;
    Ok(program)
}

/// Executes the program. It returns only if that failed, with the reason.
///
/// It does not use the standard library's `exec`: if the kernel cannot execute a file, such as a program for another
/// processor, that function runs the file as a shell script.
fn execute(program: &LaunchProgram) -> io::Error {
    let run = || -> io::Result<Infallible> {
        let c_string =
            |text: &str| CString::new(text).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
        let path = c_string(&program.path)?;
        let arguments = program.arguments.iter().map(|argument| c_string(argument));
        let arguments = iter::once(Ok(path.clone())).chain(arguments).collect::<io::Result<Vec<_>>>()?;
        // If two variables have the same name, the later one is used.
        let mut variables: Vec<&(String, String)> = Vec::new();
        for variable in &program.environment {
            variables.retain(|earlier| earlier.0 != variable.0);
            variables.push(variable);
        }
        let variables = variables.into_iter().map(|(name, value)| c_string(&format!("{name}={value}")));
        let variables = variables.collect::<io::Result<Vec<_>>>()?;
        // The standard library ignores SIGPIPE, and an executed program inherits that. A handled signal gets its default again
        // on execution, so SIGPIPE gets a handler.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let _handler = runtime.block_on(async { signal(SignalKind::pipe()) })?;
        SigSet::empty().thread_set_mask()?;
        match execve(&path, &arguments, &variables)? {}
    };
    let Err(why) = run();
    why
}

/// Closes the descriptors that a person's shell left open: the script must not have them.
fn close_inherited(control: &UnixStream) -> io::Result<()> {
    // The list is complete before the first descriptor is closed: reading the list uses a descriptor, too.
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2 && *number != control.as_raw_fd())
        .collect();
    for number in open {
        // This fails for the descriptor of the list itself, which is already closed.
        let _ = close(number);
    }
    Ok(())
}

/// Drops root's privileges permanently, unless the script runs as root.
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
    let is_complete = getresuid()? == ResUid { real: uid, effective: uid, saved: uid }
        && getresgid()? == ResGid { real: gid, effective: gid, saved: gid };
    if !is_complete || setresuid(uid, Uid::from_raw(0), uid).is_ok() {
        return Err(io::Error::other("root's privileges could not be dropped"));
    }
    Ok(())
}

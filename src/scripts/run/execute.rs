//! Running one script: its file ([`crate::scripts::run::script_file`]), its launcher ([`crate::scripts::run::launcher`]), its environment, its end (invariants S2, S3, S5).

use std::io;
use std::os::unix::fs::fchown;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::unistd::{Pid, pipe2};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;

use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::history::record::Outcome;
use crate::scripts::model::script::Script;
use crate::scripts::run::account::Account;
use crate::scripts::run::attempt_processes::AttemptProcesses;
use crate::scripts::run::follow::follow;
use crate::scripts::run::launcher::{Launch, LaunchProgram, LaunchUser};
use crate::scripts::run::live_output::LiveOutput;
use crate::scripts::run::output::ScriptOutput;
use crate::scripts::run::script_file;
use crate::scripts::run::script_file::ScriptFile;
use crate::scripts::run::stop::Stop;
use crate::scripts::run::supervise::{StartedScript, SupervisedEnd, attend};
use crate::util::time::Moment;

/// What a script is run with.
pub(crate) struct RunSpec<'a> {
    pub(crate) key: &'a UserDataKey,
    /// The attempt's own identifier.
    pub(crate) run: &'a str,
    pub(crate) script: &'a Script<'a>,
    /// The folder in which each attempt has a folder of its own.
    pub(crate) folder: &'a Path,
    /// Where root can look at its output while it runs.
    pub(crate) live: &'a Path,
    pub(crate) account: &'a Account,
    pub(crate) timeout: Duration,
    /// Beside the fixed PATH, LANG and what follows from the account.
    pub(crate) environment: Vec<(String, String)>,
}

/// How a script ended.
pub(crate) struct EndedScript {
    /// None when the runner was told to stop.
    pub(crate) outcome: Option<Outcome>,
    /// The end of what it printed.
    pub(crate) output: String,
    /// What it started and still runs.
    pub(crate) left: Vec<Pid>,
    /// When its own process ended. What it printed is read and logged after that.
    pub(crate) at: Moment,
}

impl EndedScript {
    /// It did not start.
    pub(crate) fn not_run(why: String) -> Self {
        Self {
            outcome: Some(Outcome::NotRun(why)),
            output: String::new(),
            left: Vec::new(),
            at: Moment::now(),
        }
    }
}

/// Runs the script to its end.
pub(crate) async fn execute(order: &RunSpec<'_>, stop: &mut Stop) -> EndedScript {
    let mut output = match ScriptOutput::new(order.key, LiveOutput::begin(order.live).ok()) {
        Ok(output) => output,
        Err(why) => return EndedScript::not_run(format!("its output cannot be read: {why}")),
    };
    let file = match put(order) {
        Ok(file) => file,
        Err(why) => return EndedScript::not_run(why),
    };
    let mut attended = match start(order) {
        Ok(started) => {
            let what = (&order.script.interpreter, order.timeout);
            attend(started, &launch(order, file.path()), what, stop, &mut output).await
        }
        Err(why) => {
            let why = format!("the launcher of scripts cannot be started: {why}");
            let outcome = Some(Outcome::NotRun(why));
            SupervisedEnd { outcome, at: Moment::now(), still_open: None, left: Vec::new() }
        }
    };
    if let Some(from_script) = attended.still_open.take() {
        follow(from_script, order.key);
    }
    if let Err(why) = file.remove() {
        tracing::warn!(SCW_SCRIPT = %order.key, "{}: its folder in {} cannot be removed: {why}", order.key, order.folder.display());
    }
    let SupervisedEnd { outcome, at, left, .. } = attended;
    EndedScript { outcome, output: output.finish().await, left, at }
}

/// Writes the script's file.
fn put(order: &RunSpec<'_>) -> Result<ScriptFile, String> {
    let Account { uid, gid, .. } = *order.account;
    let create = |folder: &Path| ScriptFile::create(folder, order.run, order.script.body, uid, gid);
    let failed = |folder: &Path, why| format!("the script cannot be put into {}: {why}", folder.display());
    match create(order.folder) {
        // A user's script can fill that file system with its own file. It must not keep root's scripts from running.
        Err(why) if why.kind() == io::ErrorKind::StorageFull && order.account.is_root() => {
            let other = order.folder.with_file_name(script_file::OF_ROOT);
            create(&other).map_err(|why| failed(&other, why))
        }
        created => created.map_err(|why| failed(order.folder, why)),
    }
}

/// Starts the launcher, which is still root and waits for what it is to become.
fn start(order: &RunSpec<'_>) -> io::Result<StartedScript> {
    let Account { uid, gid, .. } = *order.account;
    // One pipe for both streams keeps their lines in order.
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    // Opening /dev/stdout or /dev/stderr takes a right on the pipe itself.
    fchown(&writer, Some(uid), Some(gid))?;
    let second_writer = writer.try_clone()?;
    let (control, theirs) = std::os::unix::net::UnixStream::pair()?;
    control.set_nonblocking(true)?;
    let mut processes = AttemptProcesses::begin(order.run);
    let child = Launch::command(theirs).stdout(writer).stderr(second_writer).spawn()?;
    let launcher = child.id().and_then(|id| i32::try_from(id).ok()).ok_or(io::ErrorKind::NotFound)?;
    processes.add(Pid::from_raw(launcher));
    let (from_script, control) = (Receiver::from_owned_fd(reader)?, UnixStream::from_std(control)?);
    Ok(StartedScript { child, from_script, control, processes })
}

/// What the launcher is to become.
fn launch(order: &RunSpec<'_>, path: &Path) -> Launch {
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
        identity: LaunchUser { user: name.clone(), uid: *uid, gid: *gid },
        program: LaunchProgram {
            path: interpreter.program.clone(),
            arguments: interpreter.argument.iter().cloned().chain([path]).collect(),
            environment: fixed.chain(order.environment.iter().cloned()).collect(),
        },
    }
}

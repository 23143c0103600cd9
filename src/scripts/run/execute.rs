//! Runs one script: writes its file ([`crate::scripts::run::script_file`]), starts its launcher
//! ([`crate::scripts::run::launcher`]) with its environment, and supervises it to its end (invariants S2, S3, S5).

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
use crate::scripts::run::script_file::{self, ScriptFile};
use crate::scripts::run::stop::StopSignal;
use crate::scripts::run::supervise::{StartedScript, SupervisedEnd, supervise};
use crate::util::time::Moment;

/// One attempt: which script to run, and how.
pub(crate) struct RunSpec<'a> {
    pub(crate) key: &'a UserDataKey,
    /// The id of the attempt.
    pub(crate) run: &'a str,
    pub(crate) script: &'a Script<'a>,
    /// The folder for the scripts' files. Each attempt has its own folder in it.
    pub(crate) folder: &'a Path,
    /// The file of the live output, which root can read while the script runs.
    pub(crate) live: &'a Path,
    pub(crate) account: &'a Account,
    pub(crate) timeout: Duration,
    /// The environment variables besides PATH, LANG and those of the account.
    pub(crate) environment: Vec<(String, String)>,
}

/// How a script ended.
pub(crate) struct EndedScript {
    /// `None`: the runner was stopped.
    pub(crate) outcome: Option<Outcome>,
    /// The end of its output.
    pub(crate) output: String,
    /// The processes that it started and that still run.
    pub(crate) leftovers: Vec<Pid>,
    /// When its own process ended. The last output is read and logged after that.
    pub(crate) at: Moment,
}

impl EndedScript {
    /// A script that did not start, and why.
    pub(crate) fn not_run(why: String) -> Self {
        Self {
            outcome: Some(Outcome::NotRun(why)),
            output: String::new(),
            leftovers: Vec::new(),
            at: Moment::now(),
        }
    }
}

/// Runs a script to its end.
pub(crate) async fn execute(spec: &RunSpec<'_>, stop: &mut StopSignal) -> EndedScript {
    let mut output = match ScriptOutput::new(spec.key, LiveOutput::begin(spec.live).ok()) {
        Ok(output) => output,
        Err(why) => return EndedScript::not_run(format!("its output cannot be read: {why}")),
    };
    let file = match write_file(spec) {
        Ok(file) => file,
        Err(why) => return EndedScript::not_run(why),
    };
    let mut end = match start_launcher(spec) {
        Ok(started) => {
            let how = (&spec.script.interpreter, spec.timeout);
            supervise(started, &launch(spec, file.path()), how, stop, &mut output).await
        }
        Err(why) => {
            let why = format!("cannot start the launcher of the script: {why}");
            let outcome = Some(Outcome::NotRun(why));
            SupervisedEnd { outcome, at: Moment::now(), open_output: None, leftovers: Vec::new() }
        }
    };
    if let Some(from_script) = end.open_output.take() {
        follow(from_script, spec.key);
    }
    if let Err(why) = file.remove() {
        tracing::warn!(SCW_SCRIPT = %spec.key, "{}: cannot remove its folder in {}: {why}", spec.key, spec.folder.display());
    }
    let SupervisedEnd { outcome, at, leftovers, .. } = end;
    EndedScript { outcome, output: output.finish().await, leftovers, at }
}

/// Writes the script's file.
fn write_file(spec: &RunSpec<'_>) -> Result<ScriptFile, String> {
    let Account { uid, gid, .. } = *spec.account;
    let create = |folder: &Path| ScriptFile::create(folder, spec.run, spec.script.body, uid, gid);
    let failed = |folder: &Path, why| format!("cannot write the script to {}: {why}", folder.display());
    match create(spec.folder) {
        // A user's script can fill the file system of this folder. Root's scripts must run nevertheless.
        Err(why) if why.kind() == io::ErrorKind::StorageFull && spec.account.is_root() => {
            let root_folder = spec.folder.with_file_name(script_file::ROOT_FOLDER);
            create(&root_folder).map_err(|why| failed(&root_folder, why))
        }
        created => created.map_err(|why| failed(spec.folder, why)),
    }
}

/// Starts the launcher. It is still root, and waits for its [`Launch`] message.
fn start_launcher(spec: &RunSpec<'_>) -> io::Result<StartedScript> {
    let Account { uid, gid, .. } = *spec.account;
    // Both streams share one pipe, which keeps their lines in order.
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    // To open /dev/stdout or /dev/stderr, the user needs permission on the pipe.
    fchown(&writer, Some(uid), Some(gid))?;
    let second_writer = writer.try_clone()?;
    let (control, launcher_control) = std::os::unix::net::UnixStream::pair()?;
    control.set_nonblocking(true)?;
    let mut processes = AttemptProcesses::begin(spec.run);
    let child = Launch::command(launcher_control).stdout(writer).stderr(second_writer).spawn()?;
    let launcher = child.id().and_then(|id| i32::try_from(id).ok()).ok_or(io::ErrorKind::NotFound)?;
    processes.add(Pid::from_raw(launcher));
    let (from_script, control) = (Receiver::from_owned_fd(reader)?, UnixStream::from_std(control)?);
    Ok(StartedScript { child, from_script, control, processes })
}

/// The message to the launcher: what it executes, and as which user.
fn launch(spec: &RunSpec<'_>, path: &Path) -> Launch {
    let Account { name, uid, gid, home, shell } = spec.account;
    let interpreter = &spec.script.interpreter;
    let fixed = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("LANG", "C.UTF-8"),
        ("HOME", home),
        ("USER", name),
        ("LOGNAME", name),
        ("SHELL", shell),
    ];
    let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    // The launcher executes the interpreter, not the file: this also works if the folder is mounted noexec.
    let path = path.to_string_lossy().into_owned();
    Launch {
        identity: LaunchUser { user: name.clone(), uid: *uid, gid: *gid },
        program: LaunchProgram {
            path: interpreter.program.clone(),
            arguments: interpreter.argument.iter().cloned().chain([path]).collect(),
            environment: fixed.chain(spec.environment.iter().cloned()).collect(),
        },
    }
}

//! The Instance of the demo: its world, its running daemons, and functions that run programs in it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use scw_stage::{Daemon, Notify, PathUnit, Programs, Sshd, World};

/// The timeout of every step, far longer than any step takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// The result of a program.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Ran {
    /// The same result if the program succeeded; otherwise an error.
    pub(crate) fn succeeded(self) -> Result<Ran, String> {
        match self.code {
            Some(0) => Ok(self),
            Some(124) => Err("it took more than five minutes".to_owned()),
            Some(code) => Err(format!("exit code {code}: {}{}", self.stdout, self.stderr)),
            None => Err(format!("ended by a signal: {}{}", self.stdout, self.stderr)),
        }
    }
}

/// How a daemon became ready.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) took: Duration,
    pub(crate) status: String,
}

/// The Instance.
#[derive(Debug)]
pub(crate) struct Guest<'w> {
    pub(crate) world: &'w World,
    programs: Programs,
    /// `scw-known-hosts`, on the user's side.
    pub(crate) client: PathBuf,
    daemon: Option<Daemon>,
    /// In place of PID 1: the path unit of the host-keys role.
    path_unit: Option<PathUnit>,
    sshd: Option<Sshd>,
    /// When the first daemon was started.
    pub(crate) started: Option<Instant>,
    /// The output of earlier daemons.
    printed: String,
    /// The id of the Instance, after its creation.
    pub(crate) id: Option<String>,
}

impl<'w> Guest<'w> {
    pub(crate) fn new(world: &'w World, programs: Programs, client: PathBuf) -> Guest<'w> {
        Guest {
            world,
            programs,
            client,
            daemon: None,
            path_unit: None,
            sshd: None,
            started: None,
            printed: String::new(),
            id: None,
        }
    }

    /// The id of the Instance.
    pub(crate) fn id(&self) -> Result<&str, String> {
        self.id.as_deref().ok_or_else(|| "the Instance was not created".to_owned())
    }

    /// Runs a shell in the Instance, in which the agent's commands can be called by their names.
    pub(crate) fn shell(&self) -> Result<(), String> {
        let folder = self.programs.userdata.parent().unwrap_or(Path::new("/"));
        let agent = self.programs.agent.parent().unwrap_or(folder);
        let path =
            format!("{}:{}:{}", agent.display(), folder.display(), std::env::var("PATH").unwrap_or_default());
        let mut command = self.world.command("bash");
        command.arg("--norc").current_dir("/root").env("PATH", path).env("HOME", "/root");
        command.env("PS1", "root@web-1:\\w# ").env_remove("PROMPT_COMMAND");
        command.status().map(drop).map_err(|error| format!("cannot run bash: {error}"))
    }

    /// Runs `scw-agent` as root.
    pub(crate) fn agent(&self, arguments: &[&str]) -> Result<Ran, String> {
        self.run(&self.programs.agent, arguments)
    }

    /// The path of `scw-agent`.
    pub(crate) fn agent_path(&self) -> &Path {
        &self.programs.agent
    }

    /// Runs `scw-userdata` as root.
    pub(crate) fn userdata(&self, arguments: &[&str]) -> Result<Ran, String> {
        self.run(&self.programs.userdata, arguments)
    }

    /// Runs a program as root.
    pub(crate) fn run(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Result<Ran, String> {
        let mut command = self.world.command("timeout");
        command.args(["--foreground", &PATIENCE.as_secs().to_string()]).arg(program.as_ref()).args(arguments);
        run(&mut command)
    }

    /// Starts sshd.
    pub(crate) fn start_sshd(&mut self) -> Result<(), String> {
        self.sshd = Some(Sshd::start(self.world).map_err(|error| error.to_string())?);
        Ok(())
    }

    /// The running sshd.
    pub(crate) fn sshd(&self) -> Result<&Sshd, String> {
        self.sshd.as_ref().ok_or_else(|| "sshd does not run".to_owned())
    }

    /// Starts the daemon, as its unit does, and waits until it is ready.
    pub(crate) fn start_daemon(&mut self) -> Result<Ready, String> {
        let notify = Notify::new(self.world).map_err(|error| error.to_string())?;
        let mut command = self.world.agent_command(&self.programs.agent);
        command.arg("daemon").env("NOTIFY_SOCKET", notify.path());
        let unit = PathUnit::start(self.world, &self.programs.agent).map_err(|error| error.to_string())?;
        self.path_unit = Some(unit);
        let started = Instant::now();
        let mut daemon = Daemon::spawn(&mut command).map_err(|error| error.to_string())?;
        while !notify.wait_for("READY=1", Duration::from_millis(100)) {
            let ended = daemon.wait(Duration::ZERO);
            if ended.is_some() || started.elapsed() > PATIENCE {
                self.printed += &daemon.output();
                let why = ended.map_or("timed out".to_owned(), |status| format!("ended with {status}"));
                return Err(format!("the daemon did not send READY=1: it {why}"));
            }
        }
        let took = started.elapsed();
        let messages = notify.messages().join("\n");
        let status = messages.lines().rev().find_map(|line| line.strip_prefix("STATUS="));
        let status = status.unwrap_or("no status line").to_owned();
        self.daemon = Some(daemon);
        self.started.get_or_insert(started);
        Ok(Ready { took, status })
    }

    /// The running daemon.
    pub(crate) fn daemon(&self) -> Result<&Daemon, String> {
        self.daemon.as_ref().ok_or_else(|| "the daemon does not run".to_owned())
    }

    /// Stops the daemon and sshd, and boots again.
    pub(crate) fn reboot(&mut self) -> Result<(), String> {
        let daemon = self.daemon.take().ok_or("the daemon does not run")?;
        let (status, output) = daemon.terminate();
        self.printed += &output;
        self.path_unit = None;
        if let Some(sshd) = self.sshd.take() {
            sshd.stop();
        }
        self.world.reboot();
        if status.success() {
            Ok(())
        } else {
            Err(format!("the daemon ended with {status} when it was stopped"))
        }
    }

    /// The output of the daemon in both boots.
    pub(crate) fn daemon_output(&self) -> String {
        format!("{}{}", self.printed, self.daemon.as_ref().map(Daemon::output).unwrap_or_default())
    }
}

/// Runs a command made for the world.
pub(crate) fn run(command: &mut std::process::Command) -> Result<Ran, String> {
    let started = Instant::now();
    let output =
        command.output().map_err(|error| format!("cannot run {:?}: {error}", command.get_program()))?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    Ok(Ran { code: output.status.code(), stdout, stderr, took: started.elapsed() })
}

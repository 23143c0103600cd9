//! The real sshd in a world, and the real clients for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::daemon::Daemon;
use crate::error::{StageError, Step};
use crate::packages::Package;
use crate::privileges::Privileges;
use crate::view;
use crate::world::World;

/// The one user id of a world without root, as sshd sees it: it must not be root's.
const PLAIN_UID: &str = "1000";
const PLAIN_USER: &str = "stage";

/// A running sshd with the host keys of the view's /etc/ssh, on all addresses of the guest.
#[derive(Debug)]
pub struct Sshd {
    daemon: Daemon,
    port: u16,
    user: &'static str,
    identity: PathBuf,
}

impl Sshd {
    /// Starts sshd and returns when it listens. The world must have been built [`with_sshd`]. A key of the stage's
    /// own is let in, as root where there is root.
    ///
    /// [`with_sshd`]: crate::Builder::with_sshd
    pub fn start(world: &World) -> Result<Sshd, StageError> {
        Sshd::start_with(world, &[])
    }

    /// The same with more options.
    pub fn start_with(world: &World, options: &[&str]) -> Result<Sshd, StageError> {
        let (user, port) = match world.privileges() {
            Privileges::Root => ("root", 22),
            Privileges::UserNamespace => (PLAIN_USER, 2222),
        };
        let identity = make_identity(world, user)?;
        let daemon = Daemon::spawn(sshd_command(world)?.args(options))?;
        // One line for each of IPv4 and IPv6.
        let listens =
            |lines: &[String]| lines.iter().filter(|line| line.contains("Server listening on")).count() > 1;
        if daemon.wait_for(Duration::from_secs(300), listens) {
            Ok(Sshd { daemon, port, user, identity })
        } else {
            Err(StageError::NotUp { server: "sshd", said: daemon.output() })
        }
    }

    /// The port that it listens on: 22, or 2222 without root.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The running process.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// The same, to wait for its end.
    pub fn daemon_mut(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// Stops sshd, as `systemctl stop` does.
    pub fn stop(self) {
        self.daemon.terminate();
    }

    /// An `ssh-keyscan` of this server; add more options, but no host.
    pub fn keyscan(&self, world: &World) -> Command {
        let mut command = world.command("ssh-keyscan");
        command.args(["-T", "300", "-p", &self.port.to_string(), "127.0.0.1"]);
        command
    }

    /// An `ssh` to this server that trusts `known_hosts` only; add the remote command.
    pub fn ssh(&self, world: &World, known_hosts: &Path) -> Command {
        let mut command = world.command("ssh");
        command.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]);
        command.args([
            "-o",
            "GlobalKnownHostsFile=none",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "ConnectTimeout=300",
        ]);
        command.arg("-o").arg(format!("UserKnownHostsFile={}", known_hosts.display()));
        command.arg("-i").arg(&self.identity).args([
            "-p",
            &self.port.to_string(),
            "-l",
            self.user,
            "127.0.0.1",
        ]);
        command
    }
}

/// Makes the client's key pair once per world, and lets it in.
fn make_identity(world: &World, user: &str) -> Result<PathBuf, StageError> {
    let identity = Path::new(view::OWN).join("identity");
    if !identity.exists() {
        let mut command = world.command("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", "stage", "-f"]).arg(&identity);
        let output = command.output().step("run ssh-keygen")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(StageError::Tool { program: "ssh-keygen", said });
        }
        let authorized = Path::new("/etc/ssh/authorized_keys").join(user);
        fs::copy(identity.with_extension("pub"), authorized).step("let the stage's key in")?;
    }
    Ok(identity)
}

fn sshd_command(world: &World) -> Result<Command, StageError> {
    // It dies with the world's thread, even where nothing gets dropped.
    let mut command = world.command("setpriv");
    command.args(["--pdeathsig=KILL", "--"]);
    if world.privileges() == Privileges::UserNamespace {
        let mut passwd = fs::read_to_string("/etc/passwd").step("read the view's accounts")?;
        let plain = format!("{PLAIN_USER}:x:{PLAIN_UID}:{PLAIN_UID}::/run/stage:/bin/sh\n");
        if !passwd.contains(&plain) {
            // First, so that it wins over an account of the machine with the same id.
            passwd.insert_str(0, &plain);
            fs::write("/etc/passwd", passwd).step("write the view's accounts")?;
        }
        command.args(["unshare", "--user"]);
        command.args([
            format!("--map-user={PLAIN_UID}"),
            format!("--map-group={PLAIN_UID}"),
            "--".to_owned(),
        ]);
    }
    // In the foreground, and logging to standard error.
    command.args([Package::OpensshServer.program(), "-D", "-e"]).current_dir("/");
    Ok(command)
}

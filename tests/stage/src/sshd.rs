//! The real sshd in a world, and real clients for it.

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

/// The only user id in a world without root, as sshd sees it. It must differ from root's.
const PLAIN_UID: &str = "1000";
const PLAIN_USER: &str = "stage";

/// A running sshd with the host keys in the view's /etc/ssh. It listens on all addresses of the guest.
#[derive(Debug)]
pub struct Sshd {
    daemon: Daemon,
    port: u16,
    user: &'static str,
    identity: PathBuf,
}

impl Sshd {
    /// Starts sshd, and waits until it listens. The world must have been built [`with_sshd`]. sshd accepts a login key that the stage
    /// makes; the user is root if the world has all user ids.
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
        // sshd prints one line for IPv4 and one for IPv6.
        let listens =
            |lines: &[String]| lines.iter().filter(|line| line.contains("Server listening on")).count() > 1;
        if daemon.wait_for(Duration::from_secs(300), listens) {
            Ok(Sshd { daemon, port, user, identity })
        } else {
            Err(StageError::NotUp { server: "sshd", said: daemon.output() })
        }
    }

    /// The port on which sshd listens: 22, or 2222 without root.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The user that it lets in.
    pub fn user(&self) -> &'static str {
        self.user
    }

    /// The private key with which it lets the user in.
    pub fn identity(&self) -> &Path {
        &self.identity
    }

    /// The running process.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// The running process, to wait for its end.
    pub fn daemon_mut(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// Stops sshd, as `systemctl stop` does.
    pub fn stop(self) {
        self.daemon.terminate();
    }

    /// A command `ssh-keyscan` for this server. The caller may add options, but no host.
    pub fn keyscan(&self, world: &World) -> Command {
        let mut command = world.command("ssh-keyscan");
        command.args(["-T", "300", "-p", &self.port.to_string(), "127.0.0.1"]);
        command
    }

    /// A command `ssh` to this server that trusts only `known_hosts`. The caller adds the remote command.
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

/// Makes the client's key pair, once per world, and authorizes it.
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
        fs::copy(identity.with_extension("pub"), authorized).step("authorize the stage's login key")?;
    }
    Ok(identity)
}

fn sshd_command(world: &World) -> Result<Command, StageError> {
    // sshd dies with the world's thread, even if nothing is dropped.
    let mut command = world.command("setpriv");
    command.args(["--pdeathsig=KILL", "--"]);
    if world.privileges() == Privileges::UserNamespace {
        let mut passwd = fs::read_to_string("/etc/passwd").step("read the view's accounts")?;
        let plain = format!("{PLAIN_USER}:x:{PLAIN_UID}:{PLAIN_UID}::/run/stage:/bin/sh\n");
        if !passwd.contains(&plain) {
            // The first line of a user id is used, so this one must precede an account of the machine with the same id.
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
    // Run in the foreground, and log to standard error.
    command.args([Package::OpensshServer.program(), "-D", "-e"]).current_dir("/");
    Ok(command)
}

//! In place of PID 1: the path unit that starts the settle pass when the daemon requests it.

use std::fs;
use std::path::Path;

use crate::daemon::Daemon;
use crate::error::{StageError, Step};
use crate::world::World;

/// The daemon's request to compare the Instance with the identity record.
const INSTANCE_SEEN: &str = "/run/scw-agent-requests/host-keys/instance-seen";
/// Waits for requests in a loop, and starts the settle pass.
const LOOP: &str = r#"
while :; do
    for request in /run/scw-agent-requests/host-keys/*; do
        [ ! -e "$request" ] || "$0" host-keys settle
        break
    done
    sleep 0.02
done
"#;

/// The running path unit. A reboot of the world ends it.
#[derive(Debug)]
pub struct PathUnit {
    _watcher: Daemon,
}

impl PathUnit {
    /// Starts the path unit for this agent.
    pub fn start(world: &World, agent: &Path) -> Result<PathUnit, StageError> {
        // It dies with the world's thread, even if this value is never dropped.
        let mut command = world.command("setpriv");
        command.args(["--pdeathsig=KILL", "--", "sh", "-c", LOOP]).arg(agent).current_dir("/");
        Ok(PathUnit { _watcher: Daemon::spawn(&mut command)? })
    }

    /// Runs the settle pass for one request. After that, the identity record names the Instance. The metadata service must answer.
    pub fn once(world: &World, agent: &Path) -> Result<(), StageError> {
        fs::write(INSTANCE_SEEN, "").step("request the host-keys units")?;
        let output = world.command(agent).args(["host-keys", "settle"]).output().step("start the agent")?;
        if output.status.success() {
            Ok(())
        } else {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(StageError::Tool { program: "scw-agent", said })
        }
    }
}

//! PID 1's part for the host-keys role: its path unit starts the second pass when the daemon requests it.

use std::fs;
use std::path::Path;

use crate::daemon::Daemon;
use crate::error::{StageError, Step};
use crate::world::World;

/// The daemon's request to compare the Instance with the record.
const INSTANCE_SEEN: &str = "/run/scw-agent-requests/host-keys/instance-seen";
/// Looks for requests for ever, and starts the role.
const LOOP: &str = r#"
while :; do
    for request in /run/scw-agent-requests/host-keys/*; do
        [ ! -e "$request" ] || "$0" host-keys settle
        break
    done
    sleep 0.02
done
"#;

/// The path unit while it is enabled: from the first reboot on it is not any more.
#[derive(Debug)]
pub struct PathUnit {
    _looking: Daemon,
}

impl PathUnit {
    /// Enables it, for this agent.
    pub fn start(world: &World, agent: &Path) -> Result<PathUnit, StageError> {
        // It dies with the world's thread, even where nothing gets dropped.
        let mut command = world.command("setpriv");
        command.args(["--pdeathsig=KILL", "--", "sh", "-c", LOOP]).arg(agent).current_dir("/");
        Ok(PathUnit { _looking: Daemon::spawn(&mut command)? })
    }

    /// Has the role serve one request: afterwards the Instance is known and recorded. The metadata service must answer.
    pub fn once(world: &World, agent: &Path) -> Result<(), StageError> {
        fs::write(INSTANCE_SEEN, "").step("request the host-keys role")?;
        let output = world.command(agent).args(["host-keys", "settle"]).output().step("start the agent")?;
        if output.status.success() {
            Ok(())
        } else {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(StageError::Tool { program: "scw-agent", said })
        }
    }
}

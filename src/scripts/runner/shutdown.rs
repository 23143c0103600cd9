//! The scripts for the machine's going down, and whether it does. systemd alone knows: the unit of these scripts is stopped as well by an
//! upgrade or by a person, and then nothing may run (law S4).

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::metadata::api::response::Ask;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::metadata::error::{Step, TransportError};
use crate::scripts::history::record::Records;
use crate::scripts::history::summary::Summary;
use crate::scripts::model::policy::Policy;
use crate::scripts::model::script::ScriptKind;
use crate::scripts::paths::SetupPaths;
use crate::scripts::prepare::preparation::Preparation;
use crate::scripts::run::stop::Stop;
use crate::scripts::runner::attempts::BootContext;
use crate::scripts::runner::boot_run::{BootRun, SetupError, boot_id};
use crate::scripts::runner::fetch::{FetchedScripts, gather};
use crate::system::console::Console;
use crate::util::time::Moment;

/// How long a machine that goes down waits for its scripts to be told, at most.
const ASKING: Duration = Duration::from_secs(10);

/// Runs the shutdown scripts, within the time that all of them have together. Whether the machine goes down is the caller's to know.
///
/// It does not wait for a runner that is at work: that one is being stopped.
pub(crate) async fn run_shutdown(
    api: &mut impl Ask,
    places: &SetupPaths,
    policy: &Policy,
    console: Console,
) -> Result<BootRun, SetupError> {
    let deadline = Some(Instant::now() + policy.shutdown_timeout);
    let records = Records::open(&places.state).map_err(SetupError::State)?;
    let mut stop = Stop::listen().map_err(|why| SetupError::File(places.state.clone(), why))?;
    let is_wanted = |key: &UserDataKey| ScriptKind::of(key) == Some(ScriptKind::Shutdown);
    let patience = ASKING.min(policy.shutdown_timeout);
    let gathered = timeout(patience, gather(api, is_wanted)).await;
    let too_late = |_| Err(TransportError::TimedOut { step: Step::Whole, after: patience }.into());
    let FetchedScripts { instance, found, .. } = match gathered.unwrap_or_else(too_late) {
        Ok(gathered) => gathered,
        Err(why) => return Ok(BootRun::NotYet(why)),
    };
    // It goes down once: a trial run in this boot is of no concern.
    let preparation = Preparation::none();
    let boot = BootContext {
        instance,
        id: boot_id(),
        records,
        places,
        policy,
        again: true,
        deadline,
        console,
        preparation,
    };
    let mut scripts = Vec::new();
    for script in found {
        match boot.one(api, script, &mut stop).await {
            Some(summary) => scripts.push(summary),
            None => return Ok(BootRun::Stopped),
        }
    }
    Ok(BootRun::Done(Summary { ended: Moment::now(), scripts, passed_over: Vec::new(), network: None }))
}

/// Asks systemd. Its overall state (`systemctl is-system-running`) would not do: a machine that goes down before it was wholly up, because a
/// setup script reboots it, is still "starting" to the end.
///
/// # Errors
/// When systemd cannot be asked or gives no answer.
pub(crate) fn is_going_down() -> io::Result<bool> {
    let mut command = Command::new("systemctl");
    command.args(["show", "--property=ActiveState", "--property=Job", "shutdown.target"]);
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        return Err(io::Error::other(complaint));
    }
    Ok(says_so(&String::from_utf8_lossy(&output.stdout)))
}

/// The target is reached, or there is a job to reach it.
fn says_so(properties: &str) -> bool {
    properties.lines().any(|line| match line.split_once('=') {
        Some(("ActiveState", state)) => matches!(state, "active" | "activating"),
        Some(("Job", job)) => !matches!(job, "" | "0"),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_or_the_state_of_the_target_tells() {
        for (properties, down) in [
            ("ActiveState=inactive\n", false),
            ("Job=0\nActiveState=inactive\n", false),
            ("Job=1234\nActiveState=inactive\n", true),
            ("ActiveState=active\n", true),
            ("", false),
        ] {
            assert_eq!(says_so(properties), down, "{properties}");
        }
    }
}

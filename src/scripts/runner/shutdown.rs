//! Runs the shutdown scripts, and asks systemd whether the machine goes down.
//!
//! Only systemd knows that. The unit of these scripts is also stopped by an upgrade or by a person, and then nothing may run (invariant S4).

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::metadata::api::response::Ask;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::metadata::error::{Step, TransportError};
use crate::scripts::history::record::Records;
use crate::scripts::history::summary::Summary;
use crate::scripts::model::script::ScriptKind;
use crate::scripts::model::settings::SetupSettings;
use crate::scripts::paths::SetupPaths;
use crate::scripts::prepare::preparation::Preparation;
use crate::scripts::run::stop::StopSignal;
use crate::scripts::runner::boot_context::BootContext;
use crate::scripts::runner::boot_run::{BootRun, SetupError, boot_id};
use crate::scripts::runner::fetch::{FetchedScripts, fetch_scripts};
use crate::system::console::Console;
use crate::util::time::Moment;

/// A machine that goes down waits at most this long until its scripts are fetched.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the shutdown scripts within the time limit for all of them. The caller must know that the machine goes down.
///
/// This does not wait for the lock of another runner: systemd stops that one now, too.
pub(crate) async fn run_shutdown(
    api: &mut impl Ask,
    paths: &SetupPaths,
    settings: &SetupSettings,
    console: Console,
) -> Result<BootRun, SetupError> {
    let deadline = Some(Instant::now() + settings.shutdown_timeout);
    let records = Records::open(&paths.state)?;
    let mut stop = StopSignal::listen().map_err(|why| SetupError::File(paths.state.clone(), why))?;
    let is_wanted = |key: &UserDataKey| ScriptKind::of(key) == Some(ScriptKind::Shutdown);
    let fetch_timeout = FETCH_TIMEOUT.min(settings.shutdown_timeout);
    let fetched = timeout(fetch_timeout, fetch_scripts(api, is_wanted)).await;
    let timed_out = |_| Err(TransportError::TimedOut { step: Step::Total, after: fetch_timeout }.into());
    let FetchedScripts { instance, scripts, .. } = match fetched.unwrap_or_else(timed_out) {
        Ok(fetched) => fetched,
        Err(why) => return Ok(BootRun::FetchFailed(why)),
    };
    let preparation = Preparation::none();
    let boot = BootContext {
        instance,
        boot_id: boot_id(),
        records,
        paths,
        settings,
        // Also after a test run in this boot: the machine goes down only once.
        run_again: true,
        deadline,
        console,
        preparation,
    };
    let Some(summaries) = boot.run_scripts(api, scripts, &mut stop).await else {
        return Ok(BootRun::Stopped);
    };
    Ok(BootRun::Done(Summary {
        ended: Moment::now(),
        scripts: summaries,
        skipped: Vec::new(),
        network: None,
    }))
}

/// Asks systemd whether the machine goes down.
///
/// Its overall state (`systemctl is-system-running`) is not enough. If a setup script reboots a machine that is not completely up, the state
/// is "starting" until the end.
///
/// # Errors
/// When `systemctl` cannot be run or fails.
pub(crate) fn is_going_down() -> io::Result<bool> {
    let mut command = Command::new("systemctl");
    command.args(["show", "--property=ActiveState", "--property=Job", "shutdown.target"]);
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        return Err(io::Error::other(message));
    }
    Ok(has_shutdown_job(&String::from_utf8_lossy(&output.stdout)))
}

/// Whether shutdown.target is active, or systemd has a job to reach it.
fn has_shutdown_job(properties: &str) -> bool {
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
    fn shutdown_target_active_or_with_a_job_is_a_shutdown() {
        for (properties, is_shutdown) in [
            ("ActiveState=inactive\n", false),
            ("Job=0\nActiveState=inactive\n", false),
            ("Job=1234\nActiveState=inactive\n", true),
            ("ActiveState=active\n", true),
            ("", false),
        ] {
            assert_eq!(has_shutdown_job(properties), is_shutdown, "{properties}");
        }
    }
}

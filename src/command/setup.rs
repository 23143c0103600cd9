//! `scw-agent setup run` and `run-shutdown`, and the two internal commands that the setup runner starts.

use crate::command::exit::Exit;
use crate::command::help::AGENT;
use crate::command::process::{block_on, script_of_this_process};
use crate::metadata::api::user_data_key::UserDataKey;
use crate::metadata::error::ErrorKind;
use crate::metadata::retry::backoff::{Budget, Cause, Failure};
use crate::metadata::retry::retrying::Retrying;
use crate::metadata::transport::client::Client;
use crate::scripts::history::summary::Summary;
use crate::scripts::model::script::ScriptKind;
use crate::scripts::paths::{SETUP_REQUESTED, SetupPaths};
use crate::scripts::run::follow::run_follower;
use crate::scripts::run::launcher::run_launcher;
use crate::scripts::runner::boot_run::{BootRun, Choice, SetupError, run_boot};
use crate::scripts::runner::shutdown::{is_going_down, run_shutdown as run_shutdown_scripts};
use crate::settings;
use crate::system::platform::{self, NotAnInstance};
use crate::system::throttle;
use crate::util::log;
use crate::util::printable;

/// The command of `scw-agent-setup.service`; with a choice, a command for people.
///
/// It queries the metadata service itself and not through the daemon: the answer is run as root, and the
/// daemon's user must never be able to choose it. With `paced`, the unit runs this command, and the daemon
/// can start the unit as often as it wants.
pub(crate) fn run(choice: &Choice, paced: bool) -> Exit {
    if let (Some(ScriptKind::Shutdown), false) = (choice.only.as_ref().and_then(ScriptKind::of), choice.again)
    {
        return AGENT.fail_usage("a shutdown script is due when the machine goes down; --again runs it now");
    }
    let paths = SetupPaths::default();
    if !paced && paths.is_runner_active() {
        if let Some(running) = script_of_this_process() {
            let why = format!(
                "scripts run one after the other, and {running} has not ended; call the other script by a file of its own"
            );
            return AGENT.fail(&why, Exit::Usage);
        }
    }
    log::start("scw-agent-setup");
    if paced {
        throttle::wait(&paths.runs);
    }
    let settings = settings::load_and_log();
    let proof = match platform::check(&settings.vendor) {
        Ok(proof) => proof,
        // For the unit this is a normal state. A person who gave a script's key expects the script to run.
        Err(why) if choice.only.is_none() => {
            discard_requests(&paths);
            return nothing_to_run(&why);
        }
        Err(why) => {
            tracing::error!("no script was run: {why}");
            return Exit::Unreachable;
        }
    };
    block_on(async {
        let mut api = Retrying::new(Client::new(&proof, settings.limits.clone()), Budget::COMMAND);
        let result = run_boot(&mut api, &paths, &settings.setup, settings.console, choice).await;
        // The daemon requests a run of this boot's scripts again if it fails, but no other run.
        if *choice == Choice::default() { exit_of_run(result) } else { exit_without_retry(result) }
    })
}

/// The command of `scw-agent-shutdown.service`.
pub(crate) fn run_shutdown() -> Exit {
    log::start("scw-agent-setup");
    match is_going_down() {
        Ok(true) => {}
        Ok(false) => {
            tracing::info!("the machine is not going down; no shutdown script runs");
            return Exit::Success;
        }
        Err(why) => {
            tracing::error!(
                "systemd does not say whether the machine is going down, so no shutdown script runs: {why}"
            );
            return Exit::Failure;
        }
    }
    let settings = settings::load_and_log();
    let proof = match platform::check(&settings.vendor) {
        Ok(proof) => proof,
        Err(why) => return nothing_to_run(&why),
    };
    block_on(async {
        let mut api = Retrying::new(Client::new(&proof, settings.limits.clone()), Budget::COMMAND);
        let paths = SetupPaths::default();
        let result = run_shutdown_scripts(&mut api, &paths, &settings.setup, settings.console).await;
        exit_without_retry(result)
    })
}

/// Removes the requests, because a remaining request would start the unit again and again.
fn discard_requests(paths: &SetupPaths) {
    let requests = paths.requests.take(&[SETUP_REQUESTED]);
    for problem in &requests.problems {
        tracing::error!("{problem}");
    }
    if let Err(why) = requests.mark_served(SETUP_REQUESTED) {
        tracing::error!("cannot write in {}: {why}", paths.requests.pending.display());
    }
}

fn nothing_to_run(why: &NotAnInstance) -> Exit {
    tracing::info!("{why}; no script runs");
    Exit::Success
}

fn exit_without_retry(result: Result<BootRun, SetupError>) -> Exit {
    match result {
        Ok(BootRun::FetchFailed(why)) => {
            tracing::error!("no script was run: {why}");
            why.kind().into()
        }
        result => exit_of_run(result),
    }
}

fn exit_of_run(result: Result<BootRun, SetupError>) -> Exit {
    match result {
        Ok(BootRun::Done(summary)) => log_summary(&summary),
        Ok(BootRun::AlreadyDone(summary)) => {
            tracing::info!("this boot's scripts have run already ({}); nothing to do", summary.ended);
            // The unit must not succeed only because it was started again.
            if summary.is_success() { Exit::Success } else { Exit::Failure }
        }
        Ok(BootRun::Stopped) => Exit::Failure,
        Ok(BootRun::NoSuchScript(name)) => {
            tracing::error!("user data contain no script {name}");
            Exit::NotFound
        }
        Ok(BootRun::FetchFailed(why)) if why.kind() == ErrorKind::NotPermitted => {
            tracing::error!("{why}");
            Exit::NotPermitted
        }
        // The service answers, and another request would fail, too.
        Ok(BootRun::FetchFailed(why)) if Failure::of(&why).cause == Cause::Lasting => {
            tracing::error!("no script was run: {why}");
            why.kind().into()
        }
        Ok(BootRun::FetchFailed(why)) => {
            tracing::info!("nothing to run yet: {why}");
            Exit::Success
        }
        Err(why) => {
            tracing::error!("{why}");
            if why.is_permission() { Exit::NotPermitted } else { Exit::Failure }
        }
    }
}

/// Reads the output of a script's leftover processes. The setup runner starts this command; nobody else needs
/// it.
pub(crate) fn follow(key: &str) -> Exit {
    log::start("scw-agent-setup");
    let Ok(key) = UserDataKey::new(key) else { return Exit::Usage };
    block_on(async {
        match run_follower(&key).await {
            Ok(()) => Exit::Success,
            Err(why) => {
                tracing::warn!(SCW_SCRIPT = %key, "{key}: the output of its leftover processes is no longer read: {why}");
                Exit::Failure
            }
        }
    })
}

/// Becomes a script. The setup runner starts this command; nobody else needs it.
pub(crate) fn launch() -> Exit {
    // The runner gets the reason from the launcher.
    let _ = run_launcher();
    Exit::Failure
}

fn log_summary(summary: &Summary) -> Exit {
    let ran = summary.scripts.iter().filter(|script| script.ran_now).count();
    let failed: Vec<_> =
        summary.scripts.iter().filter(|s| !s.outcome.is_success()).map(|s| printable::name(&s.key)).collect();
    if failed.is_empty() {
        tracing::info!("{ran} of {} scripts run, all succeeded", summary.scripts.len());
        Exit::Success
    } else {
        tracing::error!("{ran} of {} scripts run; failed: {}", summary.scripts.len(), failed.join(", "));
        Exit::Failure
    }
}

//! What all scripts of a boot share: their Instance and boot, the deadline, a script's environment, and the messages about its outcome.

use std::time::Duration;

use tokio::time::Instant;

use crate::metadata::api::instance::Instance;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::history::record::{Outcome, Records, Run};
use crate::scripts::history::summary::ScriptSummary;
use crate::scripts::model::script::{Digest, ScriptKind};
use crate::scripts::model::settings::SetupSettings;
use crate::scripts::paths::SetupPaths;
use crate::scripts::prepare::apt;
use crate::scripts::prepare::preparation::Preparation;
use crate::system::console::Console;
use crate::util::events;
use crate::util::time::Moment;

/// What all scripts of one boot, or of one shutdown, share.
pub(crate) struct BootContext<'a> {
    pub(crate) instance: Instance,
    /// The kernel's ID of this boot.
    pub(crate) boot_id: String,
    pub(crate) records: Records,
    pub(crate) paths: &'a SetupPaths,
    pub(crate) settings: &'a SetupSettings,
    /// Whether each script runs once more, even if it is not due.
    pub(crate) run_again: bool,
    /// The time limit for all scripts together: a machine that goes down does not wait longer.
    pub(crate) deadline: Option<Instant>,
    /// The console that shows the owner how scripts start and end.
    pub(crate) console: Console,
    /// What the runner waits for before it starts the first script.
    pub(crate) preparation: Preparation,
}

impl BootContext<'_> {
    /// Whether the deadline is reached within this time.
    pub(super) fn ends_within(&self, length: Duration) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() + length >= deadline)
    }

    /// A new run of this content, on this Instance and in this boot, that starts now.
    pub(super) fn new_run(&self, digest: Digest) -> Run {
        Run { boot: self.boot_id.clone(), ..Run::new(digest, self.instance.id.clone(), Moment::now()) }
    }

    /// The variables that a script gets. A later one replaces an earlier one of the same name, so a script can set its own `APT_CONFIG`, but
    /// none of the agent's variables.
    pub(super) fn environment(
        &self,
        key: &UserDataKey,
        run: &Run,
        from_header: &[(String, String)],
    ) -> Vec<(String, String)> {
        let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
        let from_agent = [
            ("SCW_INSTANCE_ID", self.instance.id.to_string()),
            ("SCW_ZONE", or_empty(&self.instance.zone)),
            ("SCW_HOSTNAME", or_empty(&self.instance.hostname)),
            ("SCW_SCRIPT", key.as_str().to_owned()),
            ("SCW_SETUP_ATTEMPT", run.attempt.to_string()),
            ("SCW_SETUP_RUN", run.id.clone()),
        ];
        // A variable cannot contain a NUL. A name that comes from the service could.
        let from_agent =
            from_agent.into_iter().map(|(name, value)| (name.to_owned(), value.replace('\0', "")));
        let apt = apt::configuration().map(|path| ("APT_CONFIG".to_owned(), path.to_owned()));
        apt.into_iter().chain(from_header.iter().cloned()).chain(from_agent).collect()
    }

    /// Logs why a script did not run, and returns its summary.
    pub(super) fn report_not_run(&self, key: &UserDataKey, kind: ScriptKind, why: String) -> ScriptSummary {
        tracing::error!(MESSAGE_ID = events::SCRIPT_NOT_RUN, SCW_SCRIPT = %key, "{key}: not run: {why}");
        self.console.print_line(&format_args!("{key}: not run: {why}"));
        ScriptSummary::not_run(key.as_str().to_owned(), kind, why)
    }

    /// Logs how a run ended.
    pub(super) fn report_outcome(&self, key: &UserDataKey, run: &Run) {
        let Some(outcome) = &run.outcome else { return };
        let length = run.ended.unwrap_or(run.started).since(run.started);
        let after = match outcome {
            Outcome::NotRun(_) => String::new(),
            _ => format!(" after {}", humantime::format_duration(length)),
        };
        match outcome {
            Outcome::NotRun(_) => self.console.print_line(&format_args!("{key}: {outcome}")),
            _ => self.console.print_line(&format_args!("{key}: {outcome} after {} s", length.as_secs())),
        }
        let exit_status = if let Outcome::Exit(code) = outcome { Some(*code) } else { None };
        let (id, event) = (&self.instance.id, event_id(outcome));
        if outcome.is_success() {
            tracing::info!(MESSAGE_ID = event, SCW_SCRIPT = %key, SCW_INSTANCE_ID = %id, SCW_EXIT_STATUS = exit_status, "{key}: {outcome}{after}");
        } else {
            tracing::error!(MESSAGE_ID = event, SCW_SCRIPT = %key, SCW_INSTANCE_ID = %id, SCW_EXIT_STATUS = exit_status, "{key}: {outcome}{after}");
        }
    }
}

fn event_id(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Exit(0) => events::SCRIPT_SUCCEEDED,
        Outcome::Exit(_) | Outcome::Signal(_) => events::SCRIPT_FAILED,
        Outcome::TimedOut => events::SCRIPT_TIMED_OUT,
        Outcome::NotRun(_) | Outcome::Unknown => events::SCRIPT_NOT_RUN,
    }
}

//! One script in one boot: decides whether the script is due, makes its attempts, records and logs them.
//!
//! A failure of one script is logged, and it never stops another script (invariant S5). A script that is invalid gets a record of a run
//! that was not started; one whose value cannot be fetched gets an entry in the summary only.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::metadata::api::response::Ask;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::history::record::{Outcome, Record, RecordError, Run};
use crate::scripts::history::running::RunningScript;
use crate::scripts::history::summary::ScriptSummary;
use crate::scripts::model::script::{Digest, Script, ScriptKind};
use crate::scripts::model::settings::ScriptSettings;
use crate::scripts::model::warnings;
use crate::scripts::run::account::Account;
use crate::scripts::run::execute::{EndedScript, RunSpec, execute};
use crate::scripts::run::leftovers;
use crate::scripts::run::stop::StopSignal;
use crate::scripts::runner::boot_context::BootContext;
use crate::scripts::runner::due::{Decision, DueCheck, decide, decide_again};
use crate::scripts::runner::fetch::FetchedScript;
use crate::util::events;

/// Why a script is not started after too many runs that were cut off.
const GIVEN_UP: &str = "it was cut off in three boots in a row, or five times; to run it again, use `scw-agent setup run KEY --again`";

/// A validated script, or the reason why the value cannot run.
struct Candidate<'a> {
    key: &'a UserDataKey,
    kind: ScriptKind,
    digest: Digest,
    /// The reasons are texts for a person.
    script: Result<Script<'a>, String>,
    script_settings: ScriptSettings,
}

impl BootContext<'_> {
    /// Runs these scripts one after the other, and returns their summaries. `None` when the runner has to stop.
    pub(crate) async fn run_scripts(
        &self,
        api: &mut impl Ask,
        scripts: Vec<FetchedScript>,
        stop: &mut StopSignal,
    ) -> Option<Vec<ScriptSummary>> {
        let mut summaries = Vec::new();
        for script in scripts {
            summaries.push(self.run_script(api, script, stop).await?);
        }
        Some(summaries)
    }

    /// Runs one script as often as it is due, and returns its summary. `None` when the runner has to stop.
    async fn run_script(
        &self,
        api: &mut impl Ask,
        fetched: FetchedScript,
        stop: &mut StopSignal,
    ) -> Option<ScriptSummary> {
        let (key, kind) = (&fetched.key, fetched.kind);
        let body = match fetched.body {
            Ok(body) => body,
            Err(why) => return Some(self.report_not_run(key, kind, why)),
        };
        let candidate = self.candidate(key, kind, fetched.is_part, &body);
        let mut record = match self.records.read(key) {
            Ok(record) => record,
            Err(why @ RecordError::Unreadable(..)) => {
                tracing::error!(SCW_SCRIPT = %key, "{key}: {why}; the file is set aside");
                let (unknown, record) = self.replace_record(key, candidate.digest.clone());
                if !self.run_again {
                    return Some(ScriptSummary::of(key.as_str().to_owned(), kind, &unknown, false));
                }
                record
            }
            Err(why) => return Some(self.report_not_run(key, kind, why.to_string())),
        };
        if let Some(processes) = self.running_attempt(&record) {
            let why = format!("an earlier attempt is still running: {processes}");
            return Some(self.report_not_run(key, kind, why));
        }
        let ran = match self.run_attempts(&candidate, &mut record, stop).await {
            Attempts::Ran => true,
            Attempts::NotDue => false,
            Attempts::Stopped => return None,
            Attempts::CannotRun(why) => return Some(self.report_not_run(key, kind, why)),
        };
        let Some(last) = latest_run(&record, &candidate.digest).cloned() else {
            return Some(self.report_not_run(key, kind, "its record is empty".to_owned()));
        };
        let has_succeeded =
            last.outcome.as_ref().is_some_and(Outcome::is_success) && last.digest == candidate.digest;
        if candidate.script_settings.delete_after_success && has_succeeded {
            self.delete_key(api, (key, &fetched.value), &mut record, last.clone()).await;
        }
        // When the runner is started twice in one boot, the second one finds the runs of the first one in the records.
        let ran_in_this_boot = ran || !self.boot_id.is_empty() && last.boot == self.boot_id;
        Some(ScriptSummary::of(key.as_str().to_owned(), kind, &last, ran_in_this_boot))
    }

    /// Validates the complete value before anything is done with it.
    fn candidate<'b>(
        &self,
        key: &'b UserDataKey,
        kind: ScriptKind,
        is_part: bool,
        body: &'b [u8],
    ) -> Candidate<'b> {
        let digest = Digest::of(body);
        let script_settings = |script: &Script<'_>| {
            ScriptSettings::of(kind, is_part, &script.header, self.settings).map_err(|why| why.to_string())
        };
        let checked = Script::parse(body).map_err(|why| why.to_string()).and_then(|script| {
            let script_settings = script_settings(&script)?;
            Ok((script, script_settings))
        });
        match checked {
            Ok((script, script_settings)) => {
                Candidate { key, kind, digest, script: Ok(script), script_settings }
            }
            Err(why) => Candidate {
                key,
                kind,
                digest,
                script: Err(why),
                script_settings: ScriptSettings::defaults(kind, self.settings),
            },
        }
    }

    /// The processes of an attempt of this boot that has no outcome yet, if any of them still runs.
    fn running_attempt(&self, record: &Record) -> Option<String> {
        let run = record.runs.last().filter(|run| run.outcome.is_none() && run.boot == self.boot_id)?;
        let processes = leftovers::leftover_processes_of(&run.id, &[]);
        (!processes.is_empty()).then(|| processes.join(", "))
    }

    /// Runs the script as often as it is due.
    async fn run_attempts(
        &self,
        candidate: &Candidate<'_>,
        record: &mut Record,
        stop: &mut StopSignal,
    ) -> Attempts {
        let Candidate { key, script_settings, .. } = candidate;
        let mut ran = false;
        loop {
            let (attempt, after_failure) = match self.decision(candidate, record, ran) {
                Decision::Run { attempt, after_failure } => (attempt, after_failure),
                Decision::Done if ran => return Attempts::Ran,
                Decision::Done => return Attempts::NotDue,
                Decision::GivenUp => return Attempts::CannotRun(GIVEN_UP.to_owned()),
            };
            if stop.is_requested().await {
                // With `ran`, the script came to its own end while the machine goes down.
                return if ran { Attempts::Ran } else { Attempts::Stopped };
            }
            if after_failure {
                if self.ends_within(script_settings.retry_delay) {
                    return Attempts::Ran;
                }
                if wait_for_retry(script_settings.retry_delay, key, attempt, stop).await == Paused::Stopped {
                    return Attempts::Stopped;
                }
            }
            if !ran {
                log_warnings(candidate);
            }
            let Some(script) = self.prepare(candidate, stop).await else { return Attempts::Stopped };
            match self.run_attempt(candidate, script, attempt, record, stop).await {
                Ok(None) => return Attempts::Stopped,
                // Another attempt right now would not start either.
                Ok(Some(Outcome::NotRun(_))) => return Attempts::Ran,
                Ok(Some(_)) => ran = true,
                Err(why) => return Attempts::CannotRun(why.to_string()),
            }
        }
    }

    /// Whether another attempt is due. `ran`: whether this call of the runner has made one.
    fn decision(&self, candidate: &Candidate<'_>, record: &Record, ran: bool) -> Decision {
        let Candidate { digest, script_settings, .. } = candidate;
        let check = DueCheck {
            when: script_settings.when,
            retries: script_settings.retries,
            digest,
            instance: &self.instance.id,
            boot: &self.boot_id,
        };
        if self.run_again && !ran { decide_again(&check, record) } else { decide(&check, record) }
    }

    /// Makes the preparations of a boot and looks up the script's user. An error is text for a person; `None` when the runner has to stop.
    async fn prepare<'b, 'c>(
        &self,
        candidate: &'c Candidate<'b>,
        stop: &mut StopSignal,
    ) -> Option<Result<(&'c Script<'b>, Account), String>> {
        let script = match &candidate.script {
            Ok(script) => script,
            Err(why) => return Some(Err(why.clone())),
        };
        if !self.preparation.make(stop).await {
            return None;
        }
        // The lookup is this late because an earlier script may have made the user, and because a user database may need the network.
        let account = match &candidate.script_settings.user {
            Some(name) => tokio::select! {
                biased;
                account = Account::find(name) => account.map_err(|why| why.to_string()),
                _ = stop.wait() => return None,
            },
            None => Ok(Account::root()),
        };
        Some(account.map(|account| (script, account)))
    }

    /// Records that the script starts, runs it, and records how it ended. No outcome when the runner has to stop.
    async fn run_attempt(
        &self,
        candidate: &Candidate<'_>,
        script: Result<(&Script<'_>, Account), String>,
        attempt: u32,
        record: &mut Record,
        stop: &mut StopSignal,
    ) -> Result<Option<Outcome>, RecordError> {
        let Candidate { key, digest, script_settings, .. } = candidate;
        let run = Run { attempt, ..self.new_run(digest.clone()) };
        self.records.write(key, record, run.clone())?;
        let running = RunningScript::of(key, candidate.kind, &run);
        // This guard removes the file at the end of this function, when the record has the outcome.
        let _running_file =
            script.is_ok().then(|| running.write(&self.paths.running)).transpose().inspect_err(|why| {
                let path = self.paths.running.display();
                tracing::warn!(SCW_SCRIPT = %key, "{key}: cannot write {path}, so the status does not show this run: {why}");
            });
        let ended = match &script {
            Ok(_) if self.ends_within(Duration::ZERO) => {
                EndedScript::not_run("the time limit for all shutdown scripts was reached".to_owned())
            }
            Ok((script, account)) => {
                let id = &self.instance.id;
                tracing::info!(MESSAGE_ID = events::SCRIPT_STARTED, SCW_SCRIPT = %key, SCW_INSTANCE_ID = %id, "{key}: started (attempt {attempt})");
                self.console.print_line(&format_args!("{key}: started (attempt {attempt})"));
                let environment = self.environment(key, &run, &script_settings.environment);
                let time_left = self.deadline.map_or(Duration::MAX, |end| end.duration_since(Instant::now()));
                let (folder, live) = (&self.paths.scripts, &*running.output_path(&self.paths.outputs));
                let timeout = script_settings.timeout.min(time_left);
                let spec = RunSpec { key, run: &run.id, script, folder, live, account, timeout, environment };
                execute(&spec, stop).await
            }
            Err(why) => EndedScript::not_run(why.clone()),
        };
        Ok(self.record_end(key, record, run, ended))
    }

    /// Records and logs how a run ended. Returns no outcome for a run that was cut off.
    fn record_end(
        &self,
        key: &UserDataKey,
        record: &mut Record,
        mut run: Run,
        ended: EndedScript,
    ) -> Option<Outcome> {
        (run.outcome, run.output) = (ended.outcome, ended.output);
        run.leftovers = leftovers::leftover_processes_of(&run.id, &ended.leftovers);
        if !run.leftovers.is_empty() {
            let processes = run.leftovers.join(", ");
            tracing::info!(MESSAGE_ID = events::SCRIPT_LEFT_PROCESSES, SCW_SCRIPT = %key, "{key}: leftover processes: {processes}");
        }
        if run.outcome.is_none() {
            tracing::warn!(MESSAGE_ID = events::SCRIPT_CUT_OFF, SCW_SCRIPT = %key, "{key}: cut off, because the runner was stopped");
            self.console.print_line(&format_args!("{key}: cut off"));
            return None;
        }
        run.ended = Some(ended.at);
        if let Err(why) = self.records.write(key, record, run.clone()) {
            // The script ran, and the summary shows its outcome.
            tracing::error!(SCW_SCRIPT = %key, "{key}: {why}; without this record, the next boot runs the script again");
        }
        self.report_outcome(key, &run);
        run.outcome
    }

    /// Sets an unreadable record aside and writes a new one with the outcome "unknown": a script whose record is lost must not look like a
    /// script that never ran (invariant D1).
    fn replace_record(&self, key: &UserDataKey, digest: Digest) -> (Run, Record) {
        let run = Run { outcome: Some(Outcome::Unknown), ..self.new_run(digest) };
        let mut record = Record::default();
        let replaced =
            self.records.set_aside(key).and_then(|()| self.records.write(key, &mut record, run.clone()));
        if let Err(why) = replaced {
            tracing::error!(SCW_SCRIPT = %key, "{key}: {why}");
        }
        (run, record)
    }

    /// Deletes the user data key of a script that asks for this with `delete-after-success`, because it contains secrets. After a failure, a
    /// later boot tries again, since the key is still there. A value that the owner has set meanwhile stays: it did not run.
    async fn delete_key(
        &self,
        api: &mut impl Ask,
        (key, fetched): (&UserDataKey, &Option<Digest>),
        record: &mut Record,
        run: Run,
    ) {
        let deleted = match api.get(key).await {
            Ok(Some(value)) if Some(Digest::of(&value)) != *fetched => {
                tracing::warn!(SCW_SCRIPT = %key, "{key}: not deleted from user data: the value has changed since it was fetched");
                return;
            }
            Ok(Some(_)) => api.delete(key).await.map(|_| ()),
            Ok(None) => Ok(()),
            Err(why) => Err(why),
        };
        match deleted {
            Ok(()) => {
                tracing::info!(SCW_SCRIPT = %key, "{key}: deleted from user data (`delete-after-success`)");
                if let Err(why) = self.records.write(key, record, Run { deleted: true, ..run }) {
                    tracing::error!(SCW_SCRIPT = %key, "{key}: {why}");
                }
            }
            Err(why) => {
                tracing::warn!(SCW_SCRIPT = %key, "{key}: could not be deleted from user data: {why}; trying again at the next boot");
            }
        }
    }
}

/// The run that the summary shows: the latest one of this content that has an outcome, or else the latest one.
fn latest_run<'a>(record: &'a Record, digest: &Digest) -> Option<&'a Run> {
    let has_outcome = |run: &&Run| run.digest == *digest && run.outcome.is_some();
    record.runs.iter().rfind(has_outcome).or(record.runs.last())
}

/// Logs the likely mistakes in a script, before its first attempt in a boot.
fn log_warnings(candidate: &Candidate<'_>) {
    let Candidate { key, script: Ok(script), .. } = candidate else { return };
    for warning in warnings::of_script(script.body) {
        tracing::warn!(SCW_SCRIPT = %key, "{key}: {warning}");
    }
}

/// The result of a script's attempts in this boot.
enum Attempts {
    /// At least one attempt was made, or a further one does not fit before the deadline.
    Ran,
    /// No attempt was due.
    NotDue,
    /// The runner has to stop.
    Stopped,
    /// The script could not run, for this reason.
    CannotRun(String),
}

/// What ended a pause.
#[derive(PartialEq, Eq)]
enum Paused {
    Elapsed,
    Stopped,
}

async fn wait_for_retry(length: Duration, key: &UserDataKey, attempt: u32, stop: &mut StopSignal) -> Paused {
    let shown = humantime::format_duration(length);
    tracing::info!(SCW_SCRIPT = %key, "{key}: attempt {attempt} starts in {shown}");
    tokio::select! {
        () = sleep(length) => Paused::Elapsed,
        _ = stop.wait() => Paused::Stopped,
    }
}

//! One script in one boot: whether it is due, its attempts, their records, and what the log says of them.
//!
//! Whatever goes wrong is told, and stops no other script (law S5).

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::metadata::api::instance::Instance;
use crate::metadata::api::response::Ask;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::history::record::{Outcome, Record, RecordError, Records, Run};
use crate::scripts::history::running::RunningScript;
use crate::scripts::history::summary::ScriptSummary;
use crate::scripts::model::policy::{Policy, Terms};
use crate::scripts::model::script::{Digest, Script, ScriptKind};
use crate::scripts::model::warnings;
use crate::scripts::paths::SetupPaths;
use crate::scripts::prepare::apt;
use crate::scripts::prepare::preparation::Preparation;
use crate::scripts::run::account::Account;
use crate::scripts::run::execute::{EndedScript, RunSpec, execute};
use crate::scripts::run::leftovers;
use crate::scripts::run::stop::Stop;
use crate::scripts::runner::due::{Decision, DueCheck, again, decide};
use crate::scripts::runner::fetch::FetchedScript;
use crate::system::console::Console;
use crate::util::events;
use crate::util::time::Moment;

/// What all scripts of a boot have in common.
pub(crate) struct BootContext<'a> {
    pub(crate) instance: Instance,
    /// The kernel's id of this boot.
    pub(crate) id: String,
    pub(crate) records: Records,
    pub(crate) places: &'a SetupPaths,
    pub(crate) policy: &'a Policy,
    /// Whether somebody wants them to run, whatever was.
    pub(crate) again: bool,
    /// When all of it must be over; a machine that goes down does not wait longer.
    pub(crate) deadline: Option<Instant>,
    /// Where an owner outside sees how scripts start and end.
    pub(crate) console: Console,
    /// What the first script that is started waits for.
    pub(crate) preparation: Preparation,
}

/// A script that can be run, or why it cannot.
struct Candidate<'a> {
    key: &'a UserDataKey,
    kind: ScriptKind,
    digest: Digest,
    /// The reasons are for a person.
    script: Result<Script<'a>, String>,
    terms: Terms,
}

impl BootContext<'_> {
    /// Does what is due for one key. `None` when told to stop.
    pub(crate) async fn one(
        &self,
        api: &mut impl Ask,
        found: FetchedScript,
        stop: &mut Stop,
    ) -> Option<ScriptSummary> {
        let (key, kind) = (&found.key, found.kind);
        let body = match found.body {
            Ok(body) => body,
            Err(why) => return Some(self.not_run(key, kind, why)),
        };
        let candidate = self.candidate(key, kind, found.is_part, &body);
        let mut record = match self.records.read(key) {
            Ok(record) => record,
            Err(why @ RecordError::Unreadable(..)) => {
                tracing::error!(SCW_SCRIPT = %key, "{key}: {why}; it is set aside");
                let (unknown, kept) = self.keep_unknown(key, candidate.digest.clone());
                if !self.again {
                    return Some(ScriptSummary::of(key.as_str().to_owned(), kind, &unknown, false));
                }
                kept
            }
            Err(why) => return Some(self.not_run(key, kind, why.to_string())),
        };
        if let Some(run) = record.runs.last().filter(|run| run.outcome.is_none() && run.boot == self.id) {
            let still = leftovers::processes_of(&run.id, &[]);
            if !still.is_empty() {
                let why = format!("an earlier attempt is still running: {}", still.join(", "));
                return Some(self.not_run(key, kind, why));
            }
        }
        let ran_now = match self.attempts(&candidate, &mut record, stop).await {
            Attempts::Ran => true,
            Attempts::Nothing => false,
            Attempts::Stopped => return None,
            Attempts::Failed(why) => return Some(self.not_run(key, kind, why)),
        };
        let same = |run: &&Run| run.digest == candidate.digest && run.outcome.is_some();
        let at = record.runs.iter().rposition(|run| same(&run)).or(record.runs.len().checked_sub(1));
        let Some(last) = at.map(|at| record.runs[at].clone()) else {
            return Some(self.not_run(key, kind, "its record is empty".to_owned()));
        };
        let has_succeeded =
            last.outcome.as_ref().is_some_and(Outcome::is_success) && last.digest == candidate.digest;
        if candidate.terms.delete_after_success && has_succeeded {
            self.delete(api, (key, &found.value), &mut record, last.clone()).await;
        }
        // A second look in the same boot finds done what the first one ran.
        let in_this_boot = ran_now || !self.id.is_empty() && last.boot == self.id;
        Some(ScriptSummary::of(key.as_str().to_owned(), kind, &last, in_this_boot))
    }

    /// Everything that can be wrong with a value is found before anything is done with it.
    fn candidate<'b>(
        &self,
        key: &'b UserDataKey,
        kind: ScriptKind,
        is_part: bool,
        body: &'b [u8],
    ) -> Candidate<'b> {
        let digest = Digest::of(body);
        let terms = |script: &Script<'_>| {
            Terms::of(kind, is_part, &script.header, self.policy).map_err(|why| why.to_string())
        };
        let checked = Script::parse(body).map_err(|why| why.to_string()).and_then(|script| {
            let terms = terms(&script)?;
            Ok((script, terms))
        });
        match checked {
            Ok((script, terms)) => Candidate { key, kind, digest, script: Ok(script), terms },
            Err(why) => {
                Candidate { key, kind, digest, script: Err(why), terms: Terms::plain(kind, self.policy) }
            }
        }
    }

    /// Runs the script as often as is due.
    async fn attempts(&self, candidate: &Candidate<'_>, record: &mut Record, stop: &mut Stop) -> Attempts {
        let Candidate { key, digest, terms, .. } = candidate;
        let mut ran = false;
        loop {
            let question = DueCheck {
                when: terms.when,
                retries: terms.retries,
                digest,
                instance: &self.instance.id,
                boot: &self.id,
            };
            let decision =
                if self.again && !ran { again(&question, record) } else { decide(&question, record) };
            let attempt = match decision {
                Decision::Run { .. } if stop.was_asked().await => {
                    // It came to its end while the machine goes down.
                    return if ran { Attempts::Ran } else { Attempts::Stopped };
                }
                Decision::Run { after_failure: true, .. } if self.ends_within(terms.retry_delay) => {
                    return Attempts::Ran;
                }
                Decision::Run { attempt, after_failure } => {
                    if after_failure && pause(terms.retry_delay, key, attempt, stop).await == Paused::Stopped
                    {
                        return Attempts::Stopped;
                    }
                    attempt
                }
                Decision::Done if ran => return Attempts::Ran,
                Decision::Done => return Attempts::Nothing,
                Decision::GivenUp => {
                    let why = "it was cut off in three boots in a row, or five times; `scw-agent setup run --again` with its key starts it again";
                    return Attempts::Failed(why.to_owned());
                }
            };
            if let Ok(script) = &candidate.script {
                if !ran {
                    tell_warnings(key, script);
                }
            }
            if candidate.script.is_ok() && !self.preparation.make(stop).await {
                return Attempts::Stopped;
            }
            // Now: an earlier script may have made the user, and a user database may need the network.
            let account = match &terms.user {
                Some(name) if candidate.script.is_ok() => tokio::select! {
                    biased;
                    found = Account::find(name) => found.map_err(|why| why.to_string()),
                    _ = stop.asked() => return Attempts::Stopped,
                },
                _ => Ok(Account::root()),
            };
            let script = candidate.script.as_ref().map_err(Clone::clone);
            let script = script.and_then(|script| Ok((script, account?)));
            match self.attempt(candidate, script, attempt, record, stop).await {
                Ok(None) => return Attempts::Stopped,
                // It would not start a moment later, either.
                Ok(Some(Outcome::NotRun(_))) => return Attempts::Ran,
                Ok(Some(_)) => ran = true,
                Err(why) => return Attempts::Failed(why.to_string()),
            }
        }
    }

    /// Records that the script starts, runs it, records how it ended. No outcome when told to stop.
    async fn attempt(
        &self,
        candidate: &Candidate<'_>,
        script: Result<(&Script<'_>, Account), String>,
        attempt: u32,
        record: &mut Record,
        stop: &mut Stop,
    ) -> Result<Option<Outcome>, RecordError> {
        let Candidate { key, digest, terms, .. } = candidate;
        let mut run = Run { attempt, ..self.new_run(digest.clone()) };
        self.records.write(key, record, run.clone())?;
        // It goes when the record says how the run ended.
        let running = RunningScript::of(key, candidate.kind, &run);
        let _announced =
            script.is_ok().then(|| running.announce(&self.places.running)).transpose().inspect_err(|why| {
                tracing::warn!(SCW_SCRIPT = %key, "{key}: the status does not show that it runs: {why}");
            });
        let ended = match &script {
            Ok(_) if self.ends_within(Duration::ZERO) => {
                EndedScript::not_run("the time for all of them was up".to_owned())
            }
            Ok((script, account)) => {
                let id = &self.instance.id;
                tracing::info!(MESSAGE_ID = events::SCRIPT_STARTED, SCW_SCRIPT = %key, SCW_INSTANCE_ID = %id, "{key}: started (attempt {attempt})");
                self.console.tell(&format_args!("{key}: started (attempt {attempt})"));
                let environment = self.environment(key, &run, &terms.environment);
                let left = self.deadline.map_or(Duration::MAX, |end| end.duration_since(Instant::now()));
                let (folder, live) = (&self.places.scripts, &*running.output(&self.places.outputs));
                let timeout = terms.timeout.min(left);
                let order =
                    RunSpec { key, run: &run.id, script, folder, live, account, timeout, environment };
                execute(&order, stop).await
            }
            Err(why) => EndedScript::not_run(why.clone()),
        };
        (run.outcome, run.output) = (ended.outcome, ended.output);
        run.left = leftovers::processes_of(&run.id, &ended.left);
        if !run.left.is_empty() {
            let left = run.left.join(", ");
            tracing::info!(MESSAGE_ID = events::SCRIPT_LEFT_PROCESSES, SCW_SCRIPT = %key, "{key}: left running: {left}");
        }
        if run.outcome.is_none() {
            tracing::warn!(MESSAGE_ID = events::SCRIPT_CUT_OFF, SCW_SCRIPT = %key, "{key}: cut off, since the runner was told to stop");
            self.console.tell(&format_args!("{key}: cut off"));
            return Ok(None);
        }
        run.ended = Some(ended.at);
        if let Err(why) = self.records.write(key, record, run.clone()) {
            // It ran all the same, and the summary says how it ended.
            tracing::error!(SCW_SCRIPT = %key, "{key}: {why}; at the next boot it will look cut off, and start again");
        }
        self.tell(key, &run);
        Ok(run.outcome)
    }

    /// A lost record must not look like a script that never ran (law D1).
    fn keep_unknown(&self, key: &UserDataKey, digest: Digest) -> (Run, Record) {
        let run = Run { outcome: Some(Outcome::Unknown), ..self.new_run(digest) };
        let mut record = Record::default();
        let kept =
            self.records.set_aside(key).and_then(|()| self.records.write(key, &mut record, run.clone()));
        if let Err(why) = kept {
            tracing::error!(SCW_SCRIPT = %key, "{key}: {why}");
        }
        (run, record)
    }

    /// For a script that carries secrets. Where it cannot be done now, it is done at a later boot, since the key is still there then. A value that
    /// the owner set meanwhile stays: it did not run.
    async fn delete(
        &self,
        api: &mut impl Ask,
        (key, fetched): (&UserDataKey, &Option<Digest>),
        record: &mut Record,
        run: Run,
    ) {
        let deleted = match api.get(key).await {
            Ok(Some(value)) if Some(Digest::of(&value)) != *fetched => {
                tracing::warn!(SCW_SCRIPT = %key, "{key}: not deleted from user data: its value is not the one that ran");
                return;
            }
            Ok(Some(_)) => api.delete(key).await.map(|_| ()),
            Ok(None) => Ok(()),
            Err(why) => Err(why),
        };
        match deleted {
            Ok(()) => {
                tracing::info!(SCW_SCRIPT = %key, "{key}: deleted from user data, as it asks for");
                if let Err(why) = self.records.write(key, record, Run { deleted: true, ..run }) {
                    tracing::error!(SCW_SCRIPT = %key, "{key}: {why}");
                }
            }
            Err(why) => {
                tracing::warn!(SCW_SCRIPT = %key, "{key}: it asks to be deleted, and could not be: {why}; tried again at the next boot");
            }
        }
    }

    fn ends_within(&self, length: Duration) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() + length >= deadline)
    }

    fn new_run(&self, digest: Digest) -> Run {
        Run { boot: self.id.clone(), ..Run::new(digest, self.instance.id.clone(), Moment::now()) }
    }

    fn environment(&self, key: &UserDataKey, run: &Run, more: &[(String, String)]) -> Vec<(String, String)> {
        let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
        let ours = [
            ("SCW_INSTANCE_ID", self.instance.id.to_string()),
            ("SCW_ZONE", or_empty(&self.instance.zone)),
            ("SCW_HOSTNAME", or_empty(&self.instance.hostname)),
            ("SCW_SCRIPT", key.as_str().to_owned()),
            ("SCW_SETUP_ATTEMPT", run.attempt.to_string()),
            ("SCW_SETUP_RUN", run.id.clone()),
        ];
        // A NUL cannot be in a variable, and a name from elsewhere could hold one.
        let ours = ours.into_iter().map(|(name, value)| (name.to_owned(), value.replace('\0', "")));
        // The script may name another file.
        let apt = apt::configuration().map(|path| ("APT_CONFIG".to_owned(), path.to_owned()));
        apt.into_iter().chain(more.iter().cloned()).chain(ours).collect()
    }

    fn not_run(&self, key: &UserDataKey, kind: ScriptKind, why: String) -> ScriptSummary {
        tracing::error!(MESSAGE_ID = events::SCRIPT_NOT_RUN, SCW_SCRIPT = %key, "{key}: not run: {why}");
        self.console.tell(&format_args!("{key}: not run: {why}"));
        ScriptSummary::not_run(key.as_str().to_owned(), kind, why)
    }

    fn tell(&self, key: &UserDataKey, run: &Run) {
        let Some(outcome) = &run.outcome else { return };
        let length = run.ended.unwrap_or(run.started).since(run.started);
        let after = match outcome {
            Outcome::NotRun(_) => String::new(),
            _ => format!(" after {}", humantime::format_duration(length)),
        };
        match outcome {
            Outcome::NotRun(_) => self.console.tell(&format_args!("{key}: {outcome}")),
            _ => self.console.tell(&format_args!("{key}: {outcome} after {} s", length.as_secs())),
        }
        let exit_status = if let Outcome::Exit(code) = outcome { Some(*code) } else { None };
        let (id, event) = (&self.instance.id, event(outcome));
        if outcome.is_success() {
            tracing::info!(MESSAGE_ID = event, SCW_SCRIPT = %key, SCW_INSTANCE_ID = %id, SCW_EXIT_STATUS = exit_status, "{key}: {outcome}{after}");
        } else {
            tracing::error!(MESSAGE_ID = event, SCW_SCRIPT = %key, SCW_INSTANCE_ID = %id, SCW_EXIT_STATUS = exit_status, "{key}: {outcome}{after}");
        }
    }
}

/// Before its first attempt in a boot.
fn tell_warnings(key: &UserDataKey, script: &Script<'_>) {
    for warning in warnings::of_script(script.body) {
        tracing::warn!(SCW_SCRIPT = %key, "{key}: {warning}");
    }
}

fn event(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Exit(0) => events::SCRIPT_SUCCEEDED,
        Outcome::Exit(_) | Outcome::Signal(_) => events::SCRIPT_FAILED,
        Outcome::TimedOut => events::SCRIPT_TIMED_OUT,
        Outcome::NotRun(_) | Outcome::Unknown => events::SCRIPT_NOT_RUN,
    }
}

/// What came of a script's attempts in this boot.
enum Attempts {
    /// At least one was made, or tried.
    Ran,
    /// None was due.
    Nothing,
    /// The runner was told to stop.
    Stopped,
    /// It could not be run; why.
    Failed(String),
}

/// What ended a pause.
#[derive(PartialEq, Eq)]
enum Paused {
    Over,
    Stopped,
}

async fn pause(length: Duration, key: &UserDataKey, attempt: u32, stop: &mut Stop) -> Paused {
    let shown = humantime::format_duration(length);
    tracing::info!(SCW_SCRIPT = %key, "{key}: attempt {attempt} follows in {shown}");
    tokio::select! {
        () = sleep(length) => Paused::Over,
        _ = stop.asked() => Paused::Stopped,
    }
}

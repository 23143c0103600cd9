//! One script in one boot: whether it is due, its attempts, their records, and what the log says of them.
//!
//! Whatever goes wrong is told, and stops no other script (law S5).

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::account::Account;
use super::decide::{Decision, Question, again, decide};
use super::execute::{Order, Stop, execute};
use super::gather::Found;
use super::left;
use super::policy::{Policy, Terms};
use super::record::{Outcome, Record, RecordError, Records, Run};
use super::script::{Digest, Script, ScriptKind};
use super::summary::ScriptSummary;
use crate::events;
use crate::metadata::{Ask, Instance, UserDataKey};
use crate::moment::Moment;

/// What all scripts of a boot have in common.
pub(super) struct Boot<'a> {
    pub(super) instance: Instance,
    /// The kernel's id of this boot.
    pub(super) id: String,
    pub(super) records: Records,
    /// Where scripts are while they run.
    pub(super) scripts: PathBuf,
    pub(super) policy: &'a Policy,
    /// Whether somebody wants them to run, whatever was.
    pub(super) again: bool,
    /// When all of it must be over; a machine that goes down does not wait longer.
    pub(super) deadline: Option<Instant>,
}

/// A script that can be run, or why it cannot.
struct Candidate<'a> {
    key: &'a UserDataKey,
    digest: Digest,
    /// The reasons are for a person.
    script: Result<(Script<'a>, Account), String>,
    terms: Terms,
}

impl Boot<'_> {
    /// Does what is due for one key. `None` when told to stop.
    pub(super) async fn one(
        &self,
        api: &mut impl Ask,
        found: Found,
        stop: &mut Stop,
    ) -> Option<ScriptSummary> {
        let (key, kind) = (&found.key, found.kind);
        let body = match found.body {
            Ok(body) => body,
            Err(why) => return Some(not_run(key, kind, why)),
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
            Err(why) => return Some(not_run(key, kind, why.to_string())),
        };
        if let Some(run) = record.runs.last().filter(|run| run.outcome.is_none() && run.boot == self.id) {
            let still = left::processes(&run.id);
            if !still.is_empty() {
                let why = format!("an earlier attempt is still running: {}", still.join(", "));
                return Some(not_run(key, kind, why));
            }
        }
        let ran_now = match self.attempts(&candidate, &mut record, stop).await {
            Attempts::Ran => true,
            Attempts::Nothing => false,
            Attempts::Stopped => return None,
            Attempts::Failed(why) => return Some(not_run(key, kind, why)),
        };
        let same = |run: &&Run| run.digest == candidate.digest && run.outcome.is_some();
        let at = record.runs.iter().rposition(|run| same(&run)).or(record.runs.len().checked_sub(1));
        let Some(last) = at.map(|at| record.runs[at].clone()) else {
            return Some(not_run(key, kind, "its record is empty".to_owned()));
        };
        if candidate.terms.delete_after_success && last.outcome.as_ref().is_some_and(Outcome::is_success) {
            self.delete(api, key, &mut record, last.clone()).await;
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
            let account = match &terms.user {
                None => Account::root(),
                Some(name) => Account::find(name).map_err(|why| why.to_string())?,
            };
            Ok((script, account, terms))
        });
        match checked {
            Ok((script, account, terms)) => Candidate { key, digest, script: Ok((script, account)), terms },
            Err(why) => Candidate { key, digest, script: Err(why), terms: Terms::plain(kind, self.policy) },
        }
    }

    /// Runs the script as often as is due.
    async fn attempts(&self, candidate: &Candidate<'_>, record: &mut Record, stop: &mut Stop) -> Attempts {
        let Candidate { key, digest, terms, .. } = candidate;
        let mut ran = false;
        loop {
            let question = Question {
                when: terms.when,
                retries: terms.retries,
                digest,
                instance: &self.instance.id,
                boot: &self.id,
            };
            let decision =
                if self.again && !ran { again(&question, record) } else { decide(&question, record) };
            let attempt = match decision {
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
                    let why = "it was cut off too often; it is not started again for this content";
                    return Attempts::Failed(why.to_owned());
                }
            };
            match self.attempt(candidate, attempt, record, stop).await {
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
        attempt: u32,
        record: &mut Record,
        stop: &mut Stop,
    ) -> Result<Option<Outcome>, RecordError> {
        let Candidate { key, digest, script, terms } = candidate;
        let mut run = Run { attempt, ..self.new_run(digest.clone()) };
        self.records.write(key, record, run.clone())?;
        (run.outcome, run.output) = match script {
            Ok(_) if self.ends_within(Duration::ZERO) => {
                (Some(Outcome::NotRun("the time for all of them was up".to_owned())), String::new())
            }
            Ok((script, account)) => {
                let id = &self.instance.id;
                tracing::info!(MESSAGE_ID = events::SCRIPT_STARTED, SCW_SCRIPT = %key, SCW_INSTANCE_ID = %id, "{key}: started (attempt {attempt})");
                let environment = self.environment(key, &run, &terms.environment);
                let left = self.deadline.map_or(Duration::MAX, |end| end.duration_since(Instant::now()));
                let (folder, timeout) = (&self.scripts, terms.timeout.min(left));
                let order = Order { key, run: &run.id, script, folder, account, timeout, environment };
                execute(&order, stop).await
            }
            Err(why) => (Some(Outcome::NotRun(why.clone())), String::new()),
        };
        run.left = left::processes(&run.id);
        if !run.left.is_empty() {
            let left = run.left.join(", ");
            tracing::info!(MESSAGE_ID = events::SCRIPT_LEFT_PROCESSES, SCW_SCRIPT = %key, "{key}: left running: {left}");
        }
        if run.outcome.is_none() {
            tracing::warn!(MESSAGE_ID = events::SCRIPT_CUT_OFF, SCW_SCRIPT = %key, "{key}: cut off, since the runner was told to stop; it starts again at the next boot");
            return Ok(None);
        }
        run.ended = Some(Moment::now());
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

    /// For a script that carries secrets. Where it cannot be done now, it is done at a later boot, since the key is still there then.
    async fn delete(&self, api: &mut impl Ask, key: &UserDataKey, record: &mut Record, run: Run) {
        match api.delete(key).await {
            Ok(_) => {
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
        more.iter().cloned().chain(ours).collect()
    }

    fn tell(&self, key: &UserDataKey, run: &Run) {
        let Some(outcome) = &run.outcome else { return };
        let length = run.ended.unwrap_or(run.started).since(run.started);
        let after = match outcome {
            Outcome::NotRun(_) => String::new(),
            _ => format!(" after {}", humantime::format_duration(length)),
        };
        let exit_status = if let Outcome::Exit(code) = outcome { Some(*code) } else { None };
        let (id, event) = (&self.instance.id, event(outcome));
        if outcome.is_success() {
            tracing::info!(MESSAGE_ID = event, SCW_SCRIPT = %key, SCW_INSTANCE_ID = %id, SCW_EXIT_STATUS = exit_status, "{key}: {outcome}{after}");
        } else {
            tracing::error!(MESSAGE_ID = event, SCW_SCRIPT = %key, SCW_INSTANCE_ID = %id, SCW_EXIT_STATUS = exit_status, "{key}: {outcome}{after}");
        }
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

fn not_run(key: &UserDataKey, kind: ScriptKind, why: String) -> ScriptSummary {
    tracing::error!(MESSAGE_ID = events::SCRIPT_NOT_RUN, SCW_SCRIPT = %key, "{key}: not run: {why}");
    ScriptSummary::not_run(key.as_str().to_owned(), kind, why)
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
        () = stop.asked() => Paused::Stopped,
    }
}

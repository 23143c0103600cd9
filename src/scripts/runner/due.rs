//! Whether a script is due. Pure: it compares the record of earlier runs with this boot.

use crate::metadata::api::instance::InstanceId;
use crate::scripts::history::record::{Outcome, Record, Run};
use crate::scripts::model::header::When;
use crate::scripts::model::script::Digest;

/// A script that was cut off in this many boots in a row is not started again: it may be the reason why the machine reboots.
const MAX_BOOTS_CUT_OFF: usize = 3;
/// A script with this many runs in a row that were cut off is not started again, even within one boot: it may be what kills the runner.
const MAX_RUNS_CUT_OFF: usize = 5;

/// What the runner has to do about one script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Run it.
    Run {
        /// The number of this attempt, counted from 1. It is higher after a run that was cut off, and after a failure that may be retried.
        attempt: u32,
        /// Whether it has failed in this boot already, so that the runner waits before the attempt.
        after_failure: bool,
    },
    /// It has run already and is not due.
    Done,
    /// It was cut off in three boots in a row, or five times in a row, and probably would be again.
    GivenUp,
}

/// The script and the boot that [`decide`] compares with the record.
#[derive(Clone, Copy, Debug)]
pub struct DueCheck<'a> {
    /// When the script is due.
    pub when: When,
    /// How often the script is started again after a failure.
    pub retries: u32,
    /// The script's content.
    pub digest: &'a Digest,
    /// This Instance.
    pub instance: &'a InstanceId,
    /// The kernel's ID of this boot.
    pub boot: &'a str,
}

impl DueCheck<'_> {
    /// Whether an earlier run matters for the decision.
    fn is_relevant(&self, run: &Run) -> bool {
        match self.when {
            When::Once => run.instance == *self.instance,
            When::Change => run.instance == *self.instance && run.digest == *self.digest,
            // Every boot has a new ID, so runs of an earlier boot, also those that were cut off, are ignored.
            When::Boot => run.boot == self.boot,
        }
    }
}

/// Decides whether a script is due (invariant S1).
pub fn decide(check: &DueCheck<'_>, record: &Record) -> Decision {
    let runs = || record.runs.iter().filter(|run| check.is_relevant(run));
    let Some(last) = runs().next_back() else { return Decision::Run { attempt: 1, after_failure: false } };
    let next = |after_failure| Decision::Run { attempt: last.attempt.saturating_add(1), after_failure };
    match &last.outcome {
        None if was_cut_off_too_often(runs()) => Decision::GivenUp,
        None => next(false),
        // It never started. What was missing then may be there now.
        Some(Outcome::NotRun(_)) => Decision::Run { attempt: last.attempt, after_failure: false },
        Some(Outcome::Exit(0) | Outcome::Unknown) => Decision::Done,
        Some(Outcome::Exit(_) | Outcome::Signal(_) | Outcome::TimedOut) => {
            let failed = runs().filter(|run| run.outcome.as_ref().is_some_and(Outcome::is_failure)).count();
            if failed <= check.retries as usize { next(last.boot == check.boot) } else { Decision::Done }
        }
    }
}

fn was_cut_off_too_often<'a>(runs: impl DoubleEndedIterator<Item = &'a Run>) -> bool {
    let cut_off: Vec<_> = runs.rev().take_while(|run| run.outcome.is_none()).collect();
    // A run without a boot ID is treated as the only run of its boot.
    let is_last_of_its_boot = |at: usize| {
        let boot = &cut_off[at].boot;
        boot.is_empty() || cut_off[..at].iter().all(|later| later.boot != *boot)
    };
    let boots = (0..cut_off.len()).filter(|at| is_last_of_its_boot(*at)).count();
    boots >= MAX_BOOTS_CUT_OFF || cut_off.len() >= MAX_RUNS_CUT_OFF
}

/// The decision for a person who wants the script to run even if it is not due.
pub(crate) fn decide_again(check: &DueCheck<'_>, record: &Record) -> Decision {
    let last = record.runs.iter().rev().find(|run| check.is_relevant(run));
    Decision::Run { attempt: last.map_or(1, |last| last.attempt.saturating_add(1)), after_failure: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::time::Moment;

    fn id(last: char) -> InstanceId {
        InstanceId::try_from(format!("daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d8{last}")).expect("a good id")
    }

    fn run(body: &str, instance: char, boot: &str, attempt: u32, outcome: Option<Outcome>) -> Run {
        let digest = Digest::of(body.as_bytes());
        Run { boot: boot.to_owned(), attempt, outcome, ..Run::new(digest, id(instance), Moment::now()) }
    }

    fn decision(when: When, retries: u32, runs: Vec<Run>) -> Decision {
        let record = Record { runs, ..Record::default() };
        let (digest, instance) = (&Digest::of(b"same"), &id('6'));
        decide(&DueCheck { when, retries, digest, instance, boot: "this boot" }, &record)
    }

    const fn first_attempt() -> Decision {
        Decision::Run { attempt: 1, after_failure: false }
    }

    #[test]
    fn s1_setup_script_runs_once_per_instance_and_content() {
        use When::Change;
        assert_eq!(decision(Change, 0, vec![]), first_attempt());
        for outcome in
            [Outcome::Exit(0), Outcome::Exit(3), Outcome::Signal(9), Outcome::TimedOut, Outcome::Unknown]
        {
            assert_eq!(
                decision(Change, 0, vec![run("same", '6', "earlier", 1, Some(outcome))]),
                Decision::Done
            );
        }
        assert_eq!(
            decision(Change, 0, vec![run("other", '6', "this boot", 1, Some(Outcome::Exit(0)))]),
            first_attempt()
        );
        assert_eq!(
            decision(Change, 0, vec![run("same", '7', "earlier", 1, Some(Outcome::Exit(0)))]),
            first_attempt()
        );
    }

    #[test]
    fn s1_content_stays_done_when_another_runs_after_it() {
        let runs = vec![
            run("same", '6', "earlier", 1, Some(Outcome::Exit(0))),
            run("other", '6', "earlier", 1, Some(Outcome::Exit(0))),
        ];
        assert_eq!(decision(When::Change, 0, runs), Decision::Done);
    }

    #[test]
    fn s1_when_once_ignores_content_changes() {
        let ran = |instance| vec![run("other", instance, "earlier", 1, Some(Outcome::Exit(0)))];
        assert_eq!(decision(When::Once, 0, ran('6')), Decision::Done);
        assert_eq!(decision(When::Once, 0, ran('7')), first_attempt());
    }

    #[test]
    fn script_that_did_not_start_is_tried_again() {
        let not_run = Some(Outcome::NotRun("no interpreter".to_owned()));
        assert_eq!(decision(When::Change, 0, vec![run("same", '6', "earlier", 1, not_run)]), first_attempt());
    }

    #[test]
    fn s1_cut_off_run_starts_again_a_limited_number_of_times() {
        let next = |attempt| Decision::Run { attempt, after_failure: false };
        for (boots, expected) in [
            (&["1"][..], next(2)),
            (&["1", "2"], next(3)),
            (&["1", "2", "3"], Decision::GivenUp),
            (&["1", "1", "2", "2"], next(5)),
            (&["1", "1", "1", "1", "1"], Decision::GivenUp),
            (&["", "", ""], Decision::GivenUp),
        ] {
            let runs = boots.iter().zip(1..).map(|(boot, attempt)| run("same", '6', boot, attempt, None));
            assert_eq!(decision(When::Change, 0, runs.collect()), expected, "{boots:?}");
        }
        // Not in a row: one run in between has an outcome.
        let mut runs: Vec<_> = (1..=4).map(|at| run("same", '6', &at.to_string(), at, None)).collect();
        runs[1].outcome = Some(Outcome::Exit(1));
        assert_eq!(decision(When::Change, 1, runs), next(5));
    }

    #[test]
    fn failed_script_is_retried_as_often_as_it_asks() {
        let failed = |boot: &str, count: u32| {
            (1..=count)
                .map(|attempt| run("same", '6', boot, attempt, Some(Outcome::Exit(3))))
                .collect::<Vec<_>>()
        };
        let next = |attempt, after_failure| Decision::Run { attempt, after_failure };
        assert_eq!(decision(When::Change, 2, failed("this boot", 1)), next(2, true));
        assert_eq!(decision(When::Change, 2, failed("this boot", 2)), next(3, true));
        assert_eq!(decision(When::Change, 2, failed("this boot", 3)), Decision::Done);
        // The machine went down during the pause.
        assert_eq!(decision(When::Change, 2, failed("earlier", 1)), next(2, false));
        // A run that was cut off is not a failure.
        let mixed = [vec![run("same", '6', "earlier", 1, None)], failed("earlier", 1)].concat();
        assert_eq!(decision(When::Change, 1, mixed), next(2, false));
    }

    #[test]
    fn startup_script_runs_once_in_every_boot() {
        let at = |boot| vec![run("same", '6', boot, 1, Some(Outcome::Exit(0)))];
        assert_eq!(decision(When::Boot, 0, at("earlier")), first_attempt());
        assert_eq!(decision(When::Boot, 0, at("this boot")), Decision::Done);
    }
}

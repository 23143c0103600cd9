//! Whether a script is due. Pure: the record of what was, and this boot.

use crate::metadata::api::instance::InstanceId;
use crate::scripts::history::record::{Outcome, Record, Run};
use crate::scripts::model::header::When;
use crate::scripts::model::script::Digest;

/// A script that was cut off in so many boots in a row is not started again: it may be what reboots the machine…
const MOST_BOOTS_CUT_OFF: usize = 3;
/// …nor one that was cut off so often: within one boot, it may be what kills the runner.
const MOST_CUT_OFF: usize = 5;

/// What to do about one script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Run it; this is the how-many-th attempt.
    Run {
        /// Counted from 1; higher after runs that were cut off, and after those that failed and may be tried again.
        attempt: u32,
        /// Whether it failed in this boot already, so that a pause is due.
        after_failure: bool,
    },
    /// It ran already, and that stands.
    Done,
    /// It was cut off in three boots in a row, or five times: it would be cut off again.
    GivenUp,
}

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub struct DueCheck<'a> {
    /// When the script is due.
    pub when: When,
    /// How often it is started again when it failed.
    pub retries: u32,
    /// Its content.
    pub digest: &'a Digest,
    /// The Instance that this is.
    pub instance: &'a InstanceId,
    /// The kernel's id of this boot.
    pub boot: &'a str,
}

impl DueCheck<'_> {
    /// Whether an earlier run counts for it.
    fn concerns(&self, run: &Run) -> bool {
        match self.when {
            When::Once => run.instance == *self.instance,
            When::Change => run.instance == *self.instance && run.digest == *self.digest,
            // A boot id is new at every boot, so a cut-off run of an earlier boot is of no concern.
            When::Boot => run.boot == self.boot,
        }
    }
}

/// Decides about a script (law S1).
pub fn decide(question: &DueCheck<'_>, record: &Record) -> Decision {
    let runs = || record.runs.iter().filter(|run| question.concerns(run));
    let Some(last) = runs().next_back() else { return Decision::Run { attempt: 1, after_failure: false } };
    let next = |after_failure| Decision::Run { attempt: last.attempt.saturating_add(1), after_failure };
    match &last.outcome {
        None if is_always_cut_off(runs()) => Decision::GivenUp,
        None => next(false),
        // It never started: what was missing may be there now.
        Some(Outcome::NotRun(_)) => Decision::Run { attempt: last.attempt, after_failure: false },
        Some(Outcome::Exit(0) | Outcome::Unknown) => Decision::Done,
        Some(Outcome::Exit(_) | Outcome::Signal(_) | Outcome::TimedOut) => {
            let failed = runs().filter(|run| run.outcome.as_ref().is_some_and(Outcome::is_failure)).count();
            if failed <= question.retries as usize {
                next(last.boot == question.boot)
            } else {
                Decision::Done
            }
        }
    }
}

fn is_always_cut_off<'a>(runs: impl DoubleEndedIterator<Item = &'a Run>) -> bool {
    let cut_off: Vec<_> = runs.rev().take_while(|run| run.outcome.is_none()).collect();
    // Where the boot is not known, each run counts as another boot's.
    let is_last_of_its_boot = |at: usize| {
        let boot = &cut_off[at].boot;
        boot.is_empty() || cut_off[..at].iter().all(|later| later.boot != *boot)
    };
    let boots = (0..cut_off.len()).filter(|at| is_last_of_its_boot(*at)).count();
    boots >= MOST_BOOTS_CUT_OFF || cut_off.len() >= MOST_CUT_OFF
}

/// The same for somebody who wants it to run, whatever was.
pub(crate) fn again(question: &DueCheck<'_>, record: &Record) -> Decision {
    let last = record.runs.iter().rev().find(|run| question.concerns(run));
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

    fn decided(when: When, retries: u32, runs: Vec<Run>) -> Decision {
        let record = Record { runs, ..Record::default() };
        let (digest, instance) = (&Digest::of(b"same"), &id('6'));
        decide(&DueCheck { when, retries, digest, instance, boot: "this boot" }, &record)
    }

    const fn first() -> Decision {
        Decision::Run { attempt: 1, after_failure: false }
    }

    #[test]
    fn s1_a_setup_script_runs_once_for_an_instance_and_a_content() {
        use When::Change;
        assert_eq!(decided(Change, 0, vec![]), first());
        for outcome in
            [Outcome::Exit(0), Outcome::Exit(3), Outcome::Signal(9), Outcome::TimedOut, Outcome::Unknown]
        {
            assert_eq!(
                decided(Change, 0, vec![run("same", '6', "earlier", 1, Some(outcome))]),
                Decision::Done
            );
        }
        assert_eq!(
            decided(Change, 0, vec![run("other", '6', "this boot", 1, Some(Outcome::Exit(0)))]),
            first()
        );
        assert_eq!(decided(Change, 0, vec![run("same", '7', "earlier", 1, Some(Outcome::Exit(0)))]), first());
    }

    #[test]
    fn s1_a_content_that_ran_stays_done_when_another_ran_after_it() {
        let runs = vec![
            run("same", '6', "earlier", 1, Some(Outcome::Exit(0))),
            run("other", '6', "earlier", 1, Some(Outcome::Exit(0))),
        ];
        assert_eq!(decided(When::Change, 0, runs), Decision::Done);
    }

    #[test]
    fn s1_once_means_once_whatever_becomes_of_the_content() {
        let ran = |instance| vec![run("other", instance, "earlier", 1, Some(Outcome::Exit(0)))];
        assert_eq!(decided(When::Once, 0, ran('6')), Decision::Done);
        assert_eq!(decided(When::Once, 0, ran('7')), first());
    }

    #[test]
    fn a_script_that_could_not_be_started_is_tried_again() {
        let not_run = Some(Outcome::NotRun("no interpreter".to_owned()));
        assert_eq!(decided(When::Change, 0, vec![run("same", '6', "earlier", 1, not_run)]), first());
    }

    #[test]
    fn s1_a_run_that_was_cut_off_is_started_again_and_not_for_ever() {
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
            assert_eq!(decided(When::Change, 0, runs.collect()), expected, "{boots:?}");
        }
        // Not in a row: it came to an end in between.
        let mut runs: Vec<_> = (1..=4).map(|at| run("same", '6', &at.to_string(), at, None)).collect();
        runs[1].outcome = Some(Outcome::Exit(1));
        assert_eq!(decided(When::Change, 1, runs), next(5));
    }

    #[test]
    fn a_script_that_failed_is_started_again_as_often_as_it_asks_for() {
        let failed = |boot: &str, count: u32| {
            (1..=count)
                .map(|attempt| run("same", '6', boot, attempt, Some(Outcome::Exit(3))))
                .collect::<Vec<_>>()
        };
        let next = |attempt, after_failure| Decision::Run { attempt, after_failure };
        assert_eq!(decided(When::Change, 2, failed("this boot", 1)), next(2, true));
        assert_eq!(decided(When::Change, 2, failed("this boot", 2)), next(3, true));
        assert_eq!(decided(When::Change, 2, failed("this boot", 3)), Decision::Done);
        // The machine went down during the pause.
        assert_eq!(decided(When::Change, 2, failed("earlier", 1)), next(2, false));
        // Runs that were cut off in between do not count as failures.
        let mixed = [vec![run("same", '6', "earlier", 1, None)], failed("earlier", 1)].concat();
        assert_eq!(decided(When::Change, 1, mixed), next(2, false));
    }

    #[test]
    fn a_startup_script_runs_at_every_boot_and_once_in_each() {
        let at = |boot| vec![run("same", '6', boot, 1, Some(Outcome::Exit(0)))];
        assert_eq!(decided(When::Boot, 0, at("earlier")), first());
        assert_eq!(decided(When::Boot, 0, at("this boot")), Decision::Done);
    }
}

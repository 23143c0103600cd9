//! Whether a script is due. Pure: the record of what was, and this boot.

use super::record::{Outcome, Record, Run};
use super::script::{Digest, ScriptKind};
use crate::metadata::InstanceId;

/// How often a script is started again that a crash or reboot cut off, before the machine goes on without it.
const MOST_ATTEMPTS: u32 = 5;

/// What to do about one script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Run it; this is the how-many-th attempt.
    Run {
        /// Counted from 1; higher only after runs that were cut off.
        attempt: u32,
    },
    /// It ran already, and that stands.
    Done,
    /// It was cut off so often that starting it again would go round in circles.
    GivenUp,
}

/// Decides about a script of this content, for this Instance and boot (law S1).
pub fn decide(
    kind: ScriptKind,
    digest: &Digest,
    instance: &InstanceId,
    boot: &str,
    record: &Record,
) -> Decision {
    let same = |run: &&Run| run.digest == *digest && run.instance == *instance;
    let relevant = |run: &&Run| match kind {
        ScriptKind::Setup => same(run),
        // A boot id is new at every boot, so a cut-off run of an earlier boot is of no concern.
        ScriptKind::Startup => run.boot == boot,
    };
    let Some(last) = record.runs.iter().rev().find(relevant) else { return Decision::Run { attempt: 1 } };
    match last.outcome {
        None if last.attempt >= MOST_ATTEMPTS => Decision::GivenUp,
        None => Decision::Run { attempt: last.attempt + 1 },
        // It never started: what was missing may be there now.
        Some(Outcome::NotRun(_)) => Decision::Run { attempt: last.attempt },
        Some(Outcome::Exit(_) | Outcome::Signal(_) | Outcome::TimedOut | Outcome::Unknown) => Decision::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Moment;

    fn id(last: char) -> InstanceId {
        InstanceId::try_from(format!("daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d8{last}")).expect("a good id")
    }

    fn run(body: &str, instance: char, boot: &str, attempt: u32, outcome: Option<Outcome>) -> Run {
        Run {
            digest: Digest::of(body.as_bytes()),
            instance: id(instance),
            boot: boot.to_owned(),
            attempt,
            started: Moment::now(),
            ended: None,
            outcome,
            output: String::new(),
        }
    }

    fn decided(kind: ScriptKind, runs: Vec<Run>) -> Decision {
        let record = Record { runs, ..Record::default() };
        decide(kind, &Digest::of(b"same"), &id('6'), "this boot", &record)
    }

    #[test]
    fn s1_a_setup_script_runs_once_for_an_instance_and_a_content() {
        use ScriptKind::Setup;
        let first = Decision::Run { attempt: 1 };
        assert_eq!(decided(Setup, vec![]), first);
        for outcome in
            [Outcome::Exit(0), Outcome::Exit(3), Outcome::Signal(9), Outcome::TimedOut, Outcome::Unknown]
        {
            assert_eq!(decided(Setup, vec![run("same", '6', "earlier", 1, Some(outcome))]), Decision::Done);
        }
        assert_eq!(decided(Setup, vec![run("other", '6', "this boot", 1, Some(Outcome::Exit(0)))]), first);
        assert_eq!(decided(Setup, vec![run("same", '7', "earlier", 1, Some(Outcome::Exit(0)))]), first);
    }

    #[test]
    fn s1_a_content_that_ran_stays_done_when_another_ran_after_it() {
        let runs = vec![
            run("same", '6', "earlier", 1, Some(Outcome::Exit(0))),
            run("other", '6', "earlier", 1, Some(Outcome::Exit(0))),
        ];
        assert_eq!(decided(ScriptKind::Setup, runs), Decision::Done);
    }

    #[test]
    fn a_script_that_could_not_be_started_is_tried_again() {
        let not_run = Some(Outcome::NotRun("no interpreter".to_owned()));
        assert_eq!(
            decided(ScriptKind::Setup, vec![run("same", '6', "earlier", 1, not_run)]),
            Decision::Run { attempt: 1 }
        );
    }

    #[test]
    fn s1_a_run_that_was_cut_off_is_started_again_and_not_for_ever() {
        use ScriptKind::Setup;
        assert_eq!(decided(Setup, vec![run("same", '6', "earlier", 1, None)]), Decision::Run { attempt: 2 });
        assert_eq!(decided(Setup, vec![run("same", '6', "earlier", MOST_ATTEMPTS, None)]), Decision::GivenUp);
    }

    #[test]
    fn a_startup_script_runs_at_every_boot_and_once_in_each() {
        use ScriptKind::Startup;
        let at = |boot| vec![run("same", '6', boot, 1, Some(Outcome::Exit(0)))];
        assert_eq!(decided(Startup, at("earlier")), Decision::Run { attempt: 1 });
        assert_eq!(decided(Startup, at("this boot")), Decision::Done);
    }
}

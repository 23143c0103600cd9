//! Any history of a machine: boots, runs with any outcome, interrupted runs, new contents, other Instances. Invariants S1 (a success is never
//! repeated, and no script runs in an endless loop) and H1 (the verdict is another Instance only with a proof).
//!
//! The first byte chooses the settings, the second one the evidence of the identity. Each further byte is one event.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use scw_agent::identity::{Evidence, Identity, Verdict, judge};
use scw_agent::metadata::InstanceId;
use scw_agent::scripts::{Decision, Digest, DueCheck, Outcome, Record, Run, When, decide};
use scw_agent::util::Moment;

fuzz_target!(|data: &[u8]| {
    let Some(([settings, proof], events)) = data.split_first_chunk::<2>() else { return };
    check_verdict(*proof);
    let when = [When::Once, When::Change, When::Boot][usize::from(settings % 3)];
    let retries = u32::from(settings >> 4).min(10);
    let (mut boot, mut content, mut instance) = (0, 0, 0);
    let mut record = Record::default();
    // The runs: boot, content, Instance, and outcome.
    let mut ran: Vec<(u32, u8, u8, Option<Outcome>)> = Vec::new();
    for event in events.iter().take(400) {
        match event % 8 {
            0 => boot += 1,
            1 => content = event >> 4,
            2 => instance = event >> 4 & 1,
            ending => {
                let digest = Digest::of(&[content]);
                let (id, name) = (id(instance), boot.to_string());
                let question = DueCheck { when, retries, digest: &digest, instance: &id, boot: &name };
                let same = |(b, c, i, _): &&(u32, u8, u8, Option<Outcome>)| match when {
                    When::Once => *i == instance,
                    When::Change => *i == instance && *c == content,
                    When::Boot => *b == boot,
                };
                let before: Vec<_> = ran.iter().filter(same).cloned().collect();
                let Decision::Run { attempt, .. } = decide(&question, &record) else {
                    assert!(!before.is_empty(), "a script that never ran is not run");
                    continue;
                };
                let had = |what: &dyn Fn(&Option<Outcome>) -> bool| {
                    before.iter().filter(|run| what(&run.3)).count()
                };
                assert_eq!(had(&|end| *end == Some(Outcome::Exit(0))), 0, "a success is repeated");
                let failures = had(&|end| end.as_ref().is_some_and(Outcome::is_failure));
                assert!(failures <= retries as usize, "started again after {failures} failures");
                let cut_off: Vec<_> = before.iter().rev().take_while(|run| run.3.is_none()).collect();
                let boots: BTreeSet<_> = cut_off.iter().map(|run| run.0).collect();
                assert!(cut_off.len() < 5 && boots.len() < 3, "an interrupted script runs in a loop");
                assert!(attempt >= 1 && attempt as usize <= before.len() + 1);
                let outcome = match ending {
                    3 => Some(Outcome::Exit(0)),
                    4 => Some(Outcome::Exit(i32::from(event >> 4) + 1)),
                    5 => Some(if event & 0x80 == 0 { Outcome::TimedOut } else { Outcome::Signal(9) }),
                    6 => Some(Outcome::NotRun("no such user".to_owned())),
                    // A power cut.
                    _ => None,
                };
                let run = Run::new(digest, id, Moment::now());
                record.runs.push(Run { boot: name, attempt, outcome: outcome.clone(), ..run });
                ran.push((boot, content, instance, outcome.clone()));
                boot += u32::from(outcome.is_none());
            }
        }
    }
});

fn id(number: u8) -> InstanceId {
    format!("daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d8{number:x}").try_into().expect("a good id")
}

/// Two bits each for the ids in the record, in the hypervisor's DMI data and in the metadata; 0 means none. Bit 6: whether the DMI data name
/// the Instance.
fn check_verdict(bits: u8) {
    let known = |shift: u8| Some(bits >> shift & 3).filter(|number| *number > 0).map(id);
    let recorded = known(0).map(|instance| Identity { instance, dmi_names_instance: bits & 0x40 != 0 });
    let evidence = Evidence { dmi: known(2), metadata: known(4) };
    let verdict = judge(recorded.as_ref(), &evidence);
    let Some(recorded) = recorded else { return assert_eq!(verdict, Verdict::Unknown) };
    let hypervisor = evidence.dmi.as_ref().filter(|_| recorded.dmi_names_instance);
    let ids = [hypervisor, evidence.metadata.as_ref()];
    match verdict {
        Verdict::Another(other) => {
            assert!(other != recorded.instance && ids.contains(&Some(&other)), "no proof");
            assert!(hypervisor.is_none_or(|id| *id == other), "contradicts the hypervisor");
        }
        Verdict::Same => assert!(ids.contains(&Some(&recorded.instance))),
        Verdict::Unknown => assert_eq!(ids, [None, None]),
        Verdict::Conflict(other) => assert_eq!(ids, [Some(&recorded.instance), Some(&other)]),
    }
}

//! Tests of the document.

use crate::host_keys::sshd::server::SshServer;
use crate::metadata::family::Family;
use crate::scripts::history::summary::{Network, Summary};
use crate::status::document::Status;
use crate::status::states::{Fingerprints, Platform, Reachability};
use crate::system::cloud_init::CloudInit;
use crate::system::units::{UnitProblem, Units};
use crate::util::time::Moment;

#[test]
fn document_has_its_version_and_a_json_form() {
    let status = Status::unknown().with_problems();
    let json = serde_json::to_value(&status).expect("json");
    assert_eq!(json["version"], 1);
    assert_eq!(json["metadata"]["state"], "unknown");
    assert_eq!(json["fingerprints"]["state"], "waiting");
    assert_eq!(serde_json::from_value::<Status>(json).expect("the same shape"), status);
}

#[test]
fn each_state_survives_json() {
    let (at, why) = (Moment::now(), || "why".to_owned());
    let survives_json = |status: Status| {
        let json = serde_json::to_value(&status).expect("json");
        assert_eq!(serde_json::from_value::<Status>(json.clone()).expect("the same shape"), status, "{json}");
    };
    for metadata in [
        Reachability::Unknown,
        Reachability::Reachable { family: Some(Family::Ipv6), since: at },
        Reachability::Reachable { family: None, since: at },
        Reachability::Unreachable { since: at, why: why() },
    ] {
        survives_json(Status { metadata, ..Status::unknown() });
    }
    for fingerprints in [
        Fingerprints::Waiting,
        Fingerprints::NoKeys,
        Fingerprints::Published { checked: at },
        Fingerprints::Failed { since: at, why: why() },
    ] {
        survives_json(Status { fingerprints, ..Status::unknown() });
    }
    for ssh_server in [SshServer::Unknown, SshServer::Enabled, SshServer::NotEnabled] {
        survives_json(Status { ssh_server, ..Status::unknown() });
    }
    survives_json(Status { platform: Platform::NotAnInstance { why: why() }, ..Status::unknown() });
    for network in [
        Network::Online,
        Network::ResolverAnswered { resolver: "::1".to_owned() },
        Network::NotReady { why: why() },
        Network::NotAwaited,
    ] {
        let setup = Summary { ended: at, scripts: vec![], skipped: vec![], network: Some(network) };
        survives_json(Status { setup: Some(setup), ..Status::unknown() });
    }
    assert!(serde_json::from_str::<Reachability>(r#"{"state": "reachable"}"#).is_err());
    assert!(serde_json::from_str::<Reachability>(r#"{"state": "other"}"#).is_err());
}

#[test]
fn work_is_done_when_keys_are_published_and_scripts_ran() {
    let published = Fingerprints::Published { checked: Moment::now() };
    let failed = Fingerprints::Failed { since: Moment::now(), why: "no route".to_owned() };
    let ran = Some(Summary { ended: Moment::now(), scripts: vec![], skipped: vec![], network: None });
    for (fingerprints, has_scripts, setup, pending) in [
        (Fingerprints::Waiting, None, None, Some("not published yet")),
        (Fingerprints::Waiting, None, ran.clone(), Some("not published yet")),
        (failed, Some(false), None, Some("no route")),
        (published.clone(), None, None, Some("user data")),
        (published.clone(), Some(true), None, Some("scripts")),
        (published.clone(), Some(true), ran, None),
        (published, Some(false), None, None),
        (Fingerprints::NoKeys, Some(false), None, None),
    ] {
        let text = Status { fingerprints, has_scripts, setup, ..Status::unknown() }.pending_work();
        assert_eq!(text.is_some(), pending.is_some(), "{text:?}");
        assert!(text.unwrap_or_default().contains(pending.unwrap_or_default()));
    }
}

#[test]
fn s2_cloud_init_work_is_pending_and_failures_are_problems() {
    let done = |failed: &[&str]| CloudInit::Done { failed: failed.iter().map(|&w| w.to_owned()).collect() };
    let unit = |unit: &str| vec![UnitProblem { unit: unit.to_owned(), what: "failed: exit-code".to_owned() }];
    let running = CloudInit::Running { stage: Some("modules-final".to_owned()) };
    for (cloud_init, problems, goes_on, pending, problem) in [
        (CloudInit::Waiting, vec![], None, Some("not started"), None),
        (CloudInit::Waiting, vec![], Some(true), Some("not started"), None),
        (CloudInit::Waiting, vec![], Some(false), None, None),
        (running.clone(), vec![], None, Some("modules-final"), None),
        (
            running.clone(),
            unit("cloud-config.service"),
            Some(true),
            Some("modules-final"),
            Some("cloud-config"),
        ),
        (
            running,
            unit("cloud-final.service"),
            Some(false),
            None,
            Some("cloud-final.service failed: exit-code"),
        ),
        (done(&[]), vec![], Some(false), None, None),
        (done(&["modules-final: scripts_user"]), vec![], None, None, Some("modules-final: scripts_user")),
        (CloudInit::Unknown { why: "x".to_owned() }, vec![], None, None, Some("cannot be read")),
    ] {
        let status = Status {
            fingerprints: Fingerprints::Published { checked: Moment::now() },
            has_scripts: Some(false),
            cloud_init,
            ..Status::unknown()
        };
        let units = Units { problems, cloud_init_will_finish: goes_on, ..Units::default() };
        let status = status.with_units(Ok(units.clone()));
        let (text, problems) = (status.pending_work(), &status.problems);
        assert_eq!(
            (text.is_some(), problems.len()),
            (pending.is_some(), usize::from(problem.is_some())),
            "{status:?}"
        );
        assert!(text.unwrap_or_default().contains(pending.unwrap_or_default()));
        assert!(problems.iter().all(|found| found.what.contains(problem.unwrap_or_default())));
        let platform = Platform::NotAnInstance { why: String::new() };
        let elsewhere = Status { platform, ..status }.with_units(Ok(units));
        assert_eq!((elsewhere.pending_work(), &*elsewhere.problems), (None, &[][..]));
    }
}

#[test]
fn s2_scripts_that_never_run_and_one_that_runs() {
    let status = Status {
        fingerprints: Fingerprints::Published { checked: Moment::now() },
        has_scripts: Some(true),
        ..Status::unknown()
    };
    assert!(status.pending_work().is_some());
    let units = Units { setup_path_is_disabled: true, ..Units::default() };
    let never = status.clone().with_units(Ok(units.clone()));
    assert_eq!((never.pending_work(), never.problems.len()), (None, 1), "they never run");
    let none = Status { has_scripts: Some(false), ..status }.with_units(Ok(units));
    assert_eq!((none.pending_work(), none.problems.len()), (None, 0), "there are none");
    let running = serde_json::json!({ "key": "setup-script", "kind": "setup", "attempt": 1, "started": Moment::now(), "runner": 1 });
    let running = serde_json::from_value(running).expect("one that runs");
    let by_hand = Status { running: Some(running), ..none };
    assert!(by_hand.pending_work().is_some_and(|pending| pending.contains("setup-script runs")));
}

#[test]
fn h3_no_server_is_a_normal_state() {
    let status = Status { ssh_server: SshServer::NotEnabled, has_scripts: Some(false), ..Status::unknown() };
    for fingerprints in [Fingerprints::Waiting, Fingerprints::NoKeys] {
        let status = Status { fingerprints, ..status.clone() }.with_problems();
        assert_eq!((status.pending_work(), &*status.problems), (None, &[][..]));
    }
    assert!(status.summary_line().contains("no OpenSSH server is enabled"), "{}", status.summary_line());
    let mut json = serde_json::to_value(&status).expect("json");
    assert_eq!(json["ssh_server"]["state"], "not-enabled");
    json.as_object_mut().expect("an object").remove("ssh_server");
    let older: Status = serde_json::from_value(json).expect("an older document");
    assert_eq!(older.ssh_server, SshServer::Unknown);
}

#[test]
fn p1_other_machines_have_no_work_and_no_problems() {
    let platform = Platform::NotAnInstance { why: "not a Scaleway Instance (…)".to_owned() };
    let status = Status { platform, ..Status::unknown() }.with_problems();
    assert_eq!(status.pending_work(), None);
    assert_eq!(status.problems, []);
    assert_eq!(status.summary_line(), "not a Scaleway Instance (…); nothing to do");
    let json = serde_json::to_value(&status).expect("json");
    assert_eq!(json["platform"]["state"], "not-an-instance");
}

#[test]
fn each_failure_is_one_problem() {
    let status = Status::unknown();
    assert_eq!(status.clone().with_problems().problems, []);
    let unreachable = Reachability::Unreachable { since: Moment::now(), why: "no route".to_owned() };
    let failed = Fingerprints::Failed { since: Moment::now(), why: "no route".to_owned() };
    let status = Status { metadata: unreachable, fingerprints: failed, ..status };
    let problems = status.with_problems().problems;
    assert_eq!(problems.len(), 1, "one cause is reported once: {problems:?}");
}

//! Tests of the document.

use crate::host_keys::sshd::server::SshServer;
use crate::metadata::family::Family;
use crate::scripts::history::summary::{Network, Summary};
use crate::status::document::Status;
use crate::status::states::{Fingerprints, Platform, Reach};
use crate::system::cloud_init::CloudInit;
use crate::system::units::{UnitProblem, Units};
use crate::util::time::Moment;

#[test]
fn the_document_has_its_version_and_comes_back_from_json() {
    let status = Status::unknown().with_problems();
    let json = serde_json::to_value(&status).expect("json");
    assert_eq!(json["version"], 1);
    assert_eq!(json["metadata"]["state"], "unknown");
    assert_eq!(json["fingerprints"]["state"], "waiting");
    assert_eq!(serde_json::from_value::<Status>(json).expect("the same shape"), status);
}

#[test]
fn each_state_comes_back_from_json() {
    let (at, why) = (Moment::now(), || "why".to_owned());
    let comes_back = |status: Status| {
        let json = serde_json::to_value(&status).expect("json");
        assert_eq!(serde_json::from_value::<Status>(json.clone()).expect("the same shape"), status, "{json}");
    };
    for metadata in [
        Reach::Unknown,
        Reach::Reachable { family: Some(Family::Ipv6), since: at },
        Reach::Reachable { family: None, since: at },
        Reach::Unreachable { since: at, why: why() },
    ] {
        comes_back(Status { metadata, ..Status::unknown() });
    }
    for fingerprints in [
        Fingerprints::Waiting,
        Fingerprints::NoKeys,
        Fingerprints::Published { checked: at },
        Fingerprints::Failed { since: at, why: why() },
    ] {
        comes_back(Status { fingerprints, ..Status::unknown() });
    }
    for ssh_server in [SshServer::Unknown, SshServer::Enabled, SshServer::NotEnabled] {
        comes_back(Status { ssh_server, ..Status::unknown() });
    }
    comes_back(Status { platform: Platform::NotAnInstance { why: why() }, ..Status::unknown() });
    for network in [
        Network::Online,
        Network::ResolverAnswered { resolver: "::1".to_owned() },
        Network::NotReady { why: why() },
        Network::NotAwaited,
    ] {
        let setup = Summary { ended: at, scripts: vec![], passed_over: vec![], network: Some(network) };
        comes_back(Status { setup: Some(setup), ..Status::unknown() });
    }
    assert!(serde_json::from_str::<Reach>(r#"{"state": "reachable"}"#).is_err());
    assert!(serde_json::from_str::<Reach>(r#"{"state": "other"}"#).is_err());
}

#[test]
fn a_boots_work_is_done_when_keys_are_published_and_scripts_have_run_or_there_are_none() {
    let published = Fingerprints::Published { checked: Moment::now() };
    let failed = Fingerprints::Failed { since: Moment::now(), why: "no route".to_owned() };
    let ran = Some(Summary { ended: Moment::now(), scripts: vec![], passed_over: vec![], network: None });
    for (fingerprints, has_scripts, setup, left) in [
        (Fingerprints::Waiting, None, None, Some("not published yet")),
        (Fingerprints::Waiting, None, ran.clone(), Some("not published yet")),
        (failed, Some(false), None, Some("no route")),
        (published.clone(), None, None, Some("user data")),
        (published.clone(), Some(true), None, Some("scripts")),
        (published.clone(), Some(true), ran, None),
        (published, Some(false), None, None),
        (Fingerprints::NoKeys, Some(false), None, None),
    ] {
        let said = Status { fingerprints, has_scripts, setup, ..Status::unknown() }.left_to_do();
        assert_eq!(said.is_some(), left.is_some(), "{said:?}");
        assert!(said.unwrap_or_default().contains(left.unwrap_or_default()));
    }
}

#[test]
fn s2_what_cloud_init_does_and_what_failed_counts() {
    let done = |failed: &[&str]| CloudInit::Done { failed: failed.iter().map(|&w| w.to_owned()).collect() };
    let unit = |unit: &str| vec![UnitProblem { unit: unit.to_owned(), what: "failed: exit-code".to_owned() }];
    let running = CloudInit::Running { stage: Some("modules-final".to_owned()) };
    for (cloud_init, problems, goes_on, left, problem) in [
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
        let units = Units { problems, cloud_init_goes_on: goes_on, ..Units::default() };
        let status = status.with_units(Ok(units.clone()));
        let (said, wrong) = (status.left_to_do(), &status.problems);
        assert_eq!(
            (said.is_some(), wrong.len()),
            (left.is_some(), usize::from(problem.is_some())),
            "{status:?}"
        );
        assert!(said.unwrap_or_default().contains(left.unwrap_or_default()));
        assert!(wrong.iter().all(|wrong| wrong.what.contains(problem.unwrap_or_default())));
        let platform = Platform::NotAnInstance { why: String::new() };
        let elsewhere = Status { platform, ..status }.with_units(Ok(units));
        assert_eq!((elsewhere.left_to_do(), &*elsewhere.problems), (None, &[][..]));
    }
}

#[test]
fn s2_scripts_that_cannot_run_and_one_that_runs() {
    let status = Status {
        fingerprints: Fingerprints::Published { checked: Moment::now() },
        has_scripts: Some(true),
        ..Status::unknown()
    };
    assert!(status.left_to_do().is_some());
    let units = Units { starts_no_script: true, ..Units::default() };
    let never = status.clone().with_units(Ok(units.clone()));
    assert_eq!((never.left_to_do(), never.problems.len()), (None, 1), "they never run");
    let none = Status { has_scripts: Some(false), ..status }.with_units(Ok(units));
    assert_eq!((none.left_to_do(), none.problems.len()), (None, 0), "there are none");
    let running = serde_json::json!({ "key": "setup-script", "kind": "setup", "attempt": 1, "started": Moment::now(), "runner": 1 });
    let running = serde_json::from_value(running).expect("one that runs");
    let by_hand = Status { running: Some(running), ..none };
    assert!(by_hand.left_to_do().is_some_and(|left| left.contains("setup-script runs")));
}

#[test]
fn h3_no_server_is_a_normal_state() {
    let status = Status { ssh_server: SshServer::NotEnabled, has_scripts: Some(false), ..Status::unknown() };
    for fingerprints in [Fingerprints::Waiting, Fingerprints::NoKeys] {
        let status = Status { fingerprints, ..status.clone() }.with_problems();
        assert_eq!((status.left_to_do(), &*status.problems), (None, &[][..]));
    }
    assert!(status.line().contains("no OpenSSH server is enabled"), "{}", status.line());
    let mut json = serde_json::to_value(&status).expect("json");
    assert_eq!(json["ssh_server"]["state"], "not-enabled");
    json.as_object_mut().expect("an object").remove("ssh_server");
    let older: Status = serde_json::from_value(json).expect("an older document");
    assert_eq!(older.ssh_server, SshServer::Unknown);
}

#[test]
fn p1_elsewhere_nothing_is_left_to_do_and_nothing_is_wrong() {
    let platform = Platform::NotAnInstance { why: "not a Scaleway Instance (…)".to_owned() };
    let status = Status { platform, ..Status::unknown() }.with_problems();
    assert_eq!(status.left_to_do(), None);
    assert_eq!(status.problems, []);
    assert_eq!(status.line(), "not a Scaleway Instance (…); nothing to do");
    let json = serde_json::to_value(&status).expect("json");
    assert_eq!(json["platform"]["state"], "not-an-instance");
}

#[test]
fn nothing_wrong_is_no_problem_and_each_wrong_is_one() {
    let status = Status::unknown();
    assert_eq!(status.clone().with_problems().problems, []);
    let unreachable = Reach::Unreachable { since: Moment::now(), why: "no route".to_owned() };
    let failed = Fingerprints::Failed { since: Moment::now(), why: "no route".to_owned() };
    let wrong = Status { metadata: unreachable, fingerprints: failed, ..status };
    let problems = wrong.with_problems().problems;
    assert_eq!(problems.len(), 1, "one cause is told once: {problems:?}");
}

//! C1, C2, C3: the situations, and what ssh does in each with each `StrictHostKeyChecking`. `releases` tries all of them; here are those that
//! other choices of the user change.

use std::fs;

use crate::desk::*;

/// The values of `StrictHostKeyChecking`, in the order of the columns. With BatchMode, `ask` refuses what it would ask about.
pub(crate) const CHECKING: [&str; 4] = ["yes", "ask", "accept-new", "no"];

/// What is the case when ssh connects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Situation {
    Published,
    Contradicted,
    NothingPublished,
    ApiDown,
    NoCredentials,
    NoPermission,
    NotOurs,
    ToolMissing,
}

pub(crate) use Situation::*;

/// For each situation: whether ssh connects by column, for a host of the list and for a declared one; and what is said.
pub(crate) const TABLE: [(Situation, [bool; 4], [bool; 4], &str); 8] = [
    (Published, [true; 4], [true; 4], ""),
    (Contradicted, [false; 4], [false; 4], "is not one that scw-example"),
    (NothingPublished, [false, false, true, true], [false; 4], "has published no fingerprints"),
    (ApiDown, [false, false, true, true], [false; 4], "the API is unreachable"),
    (NoCredentials, [false, false, true, true], [false; 4], "no credentials: set SCW_SECRET_KEY"),
    (NoPermission, [false, false, true, true], [false; 4], "lacks a permission"),
    (NotOurs, [false, false, true, true], [false; 4], ""),
    (ToolMissing, [false, false, true, true], [false; 4], ""),
];

/// Brings the situation about, after `setup`.
pub(crate) fn arrange(desk: &mut Desk, situation: Situation) {
    match situation {
        Contradicted => desk.publish_another(),
        NothingPublished => desk.world.standin().delete_user_data(FINGERPRINTS),
        ApiDown => drop(desk.variables.insert("SCW_API_URL", "https://169.254.42.42:9".to_owned())),
        NoCredentials => drop(desk.variables.remove("SCW_SECRET_KEY")),
        NoPermission => drop(desk.variables.insert("SCW_SECRET_KEY", POWERLESS.to_owned())),
        ToolMissing => {
            let file = "/root/.ssh/scw-known-hosts.config";
            let text = fs::read_to_string(file).expect("the configuration").replace(CLIENT, "/nonexistent/x");
            fs::write(file, text).expect("written");
        }
        Published | NotOurs => {}
    }
}

fn check(situation: Situation, setup: &[&str], expected: [bool; 4], said: &str) {
    at_desk(|desk| {
        desk.client_ok(setup);
        arrange(desk, situation);
        let host = if situation == NotOurs { OTHER_ADDRESS } else { ADDRESS };
        for (checking, is_expected) in CHECKING.into_iter().zip(expected) {
            desk.forget();
            let (is_in, err) = desk.is_in(&[&format!("StrictHostKeyChecking={checking}")], host);
            assert_eq!(is_in, is_expected, "{situation:?} with {checking}: {err}");
            let line = err.lines().find(|line| line.starts_with("scw-known-hosts: "));
            if said.is_empty() {
                assert_eq!(line, None, "{situation:?}");
            } else {
                assert!(line.is_some_and(|line| line.contains(said)), "{situation:?}: {err}");
            }
        }
    });
}

#[test]
fn c3_policy_refuse_refuses_what_cannot_be_checked() {
    check(NothingPublished, &["setup", "--unknown", "refuse"], [false; 4], "no fingerprints");
    check(NotOurs, &["setup", "--unknown", "refuse"], [false, false, true, true], "");
}

#[test]
fn c1_key_that_known_hosts_trusts_is_refused() {
    at_desk(|desk| {
        // The user trusted it when nothing was set up.
        assert!(desk.is_in(&["StrictHostKeyChecking=accept-new"], ADDRESS).0);
        desk.client_ok(&["setup"]);
        assert!(desk.is_in(&[], ADDRESS).0);
        desk.publish_another();
        let (is_in, err) = desk.is_in(&[], ADDRESS);
        assert!(!is_in && err.contains("Someone may be intercepting this connection"), "{err}");
    });
}

#[test]
fn c2_other_hosts_cost_no_request() {
    at_desk(|desk| {
        desk.client_ok(&["setup"]);
        desk.world.standin().clear_requests();
        assert!(desk.is_in(&["StrictHostKeyChecking=accept-new"], OTHER_ADDRESS).0);
        // Without credentials, a configuration or a cache as well.
        for (name, value) in
            [("SCW_SECRET_KEY", "broken"), ("SCW_CONFIG_PATH", "/dev/null"), ("SCW_CACHE_DIR", "/proc/none")]
        {
            desk.variables.insert(name, value.to_owned());
            let (is_in, err) = desk.is_in(&[], OTHER_ADDRESS);
            assert!(is_in && err.is_empty(), "{err}");
        }
        assert_eq!(desk.asked(), Vec::<String>::new());
    });
}

#[test]
fn c2_all_hosts_are_asked_about_if_wanted() {
    at_desk(|desk| {
        desk.client_ok(&["setup", "--all-hosts"]);
        desk.world.standin().clear_requests();
        let (is_in, err) = desk.is_in(&["StrictHostKeyChecking=accept-new"], OTHER_ADDRESS);
        assert!(is_in && !err.contains("scw-known-hosts"), "{err}");
        let asked = desk.asked();
        assert!(asked.iter().any(|path| path.ends_with(&format!("/ips/{OTHER_ADDRESS}"))), "{asked:?}");
    });
}

//! K1 to K3: the keys with which root may log in, with the real sshd and the real ssh. The images try the unit.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;
use scw_stage::{Sshd, World};
use scw_standin::{Fault, Order};

use crate::machine::*;

pub(crate) const SETTINGS: &str = "/etc/scw-agent.toml";
pub(crate) const LIVE: &str =
    "[ssh-keys]\nmanage = \"live\"\n[host-keys]\ntypes = [\"ed25519\"]\n[metadata]\nlook-again = \"1s\"\n";
pub(crate) const OFF: &str = "[host-keys]\ntypes = [\"ed25519\"]\n[metadata]\nlook-again = \"1s\"\n";
pub(crate) const FILE: &str = "/etc/ssh/scw-agent/root.keys";
pub(crate) const DROP_IN: &str = "/etc/ssh/sshd_config.d/60-scw-agent.conf";
/// Where the stage's sshd has root's keys.
pub(crate) const OWN_FILE: &str = "/etc/ssh/authorized_keys/root";
const REQUESTED: &str = "/run/scw-agent-requests/ssh-keys/keys-requested";
const OTHER_ID: &str = "22222222-2222-4222-8222-222222222222";

/// Makes login keys with these names.
pub(crate) fn make_keys(world: &World, names: &[&str]) {
    names.iter().for_each(|name| keygen(world, "ed25519", name, &private(name)));
}

fn private(name: &str) -> String {
    format!("/run/stage/{name}")
}

pub(crate) fn public(name: &str) -> String {
    fs::read_to_string(format!("{}.pub", private(name))).expect("made").trim().to_owned()
}

pub(crate) fn fingerprint(world: &World, name: &str) -> String {
    let listed = run(world.command("ssh-keygen").args(["-l", "-f", &private(name)]));
    listed.out.split(' ').nth(1).expect("a fingerprint").to_owned()
}

/// From now on the account has these keys.
pub(crate) fn set_account_keys(world: &World, names: &[&str]) {
    let keys: Vec<_> = names.iter().map(|name| serde_json::json!({ "key": public(name) })).collect();
    let mut conf = world.standin().conf();
    conf["ssh_public_keys"] = keys.into();
    world.standin().set_conf(conf);
}

pub(crate) fn set_tags(world: &World, names: &[&str]) {
    let tags: Vec<_> =
        names.iter().map(|name| format!("AUTHORIZED_KEY={}", public(name).replace(' ', "_"))).collect();
    let mut conf = world.standin().conf();
    conf["tags"] = tags.into();
    world.standin().set_conf(conf);
}

/// Which of these keys let root in.
pub(crate) fn let_in<'a>(world: &World, sshd: &Sshd, names: &[&'a str]) -> Vec<&'a str> {
    let enters = |name: &&&str| {
        let mut command = world.command("ssh");
        for option in ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"] {
            command.args(["-o", option]);
        }
        command.args(["-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=300", "-F", "none"]);
        command.args(["-i", &private(name), "-p", &sshd.port().to_string(), "-l", sshd.user(), "127.0.0.1"]);
        run(command.arg("true")).code == 0
    };
    names.iter().filter(enters).copied().collect()
}

/// A machine whose Instance is confirmed, with a running sshd that lets in the key `stage`, which nothing may change.
pub(crate) fn machine(world: &World) -> Sshd {
    fs::write(SETTINGS, LIVE).expect("written");
    assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
    confirm_instance(world);
    let sshd = Sshd::start(world).expect("sshd");
    let name = private("stage");
    fs::copy(sshd.identity(), &name).expect("copied");
    fs::copy(sshd.identity().with_extension("pub"), format!("{name}.pub")).expect("copied");
    sshd
}

pub(crate) fn apply(world: &World) -> Ended {
    agent(world, &["ssh-keys", "apply", "--paced"])
}

#[test]
fn k2_k3_keys_of_the_account_are_added_and_removed() {
    World::builder().with_sshd().run(|world| {
        let sshd = machine(world);
        make_keys(world, &["a", "b", "tag"]);
        let all = ["stage", "a", "b", "tag"];
        let own = fs::read_to_string(OWN_FILE).expect("read");
        set_account_keys(world, &["a"]);
        set_tags(world, &[]);
        assert_eq!(apply(world).code, 0);
        assert_eq!(let_in(world, &sshd, &all), ["stage", "a"]);
        assert_eq!(fs::metadata(FILE).expect("there").permissions().mode() & 0o777, 0o600);
        set_account_keys(world, &["a", "b"]);
        set_tags(world, &["tag"]);
        assert_eq!(apply(world).code, 0);
        assert_eq!(let_in(world, &sshd, &all), all, "an added key works at once, without a reload");
        let shown = agent(world, &["ssh-keys", "show"]);
        assert!(shown.code == 0 && shown.out.matches('✓').count() == 3, "{}", shown.out);

        // In sshd's own file it stays, and that is said.
        fs::write(OWN_FILE, format!("{own}{}\n", public("a"))).expect("written");
        set_account_keys(world, &["b"]);
        set_tags(world, &[]);
        assert_eq!(apply(world).code, 0);
        assert_eq!(let_in(world, &sshd, &all), ["stage", "a", "b"]);
        let shown = agent(world, &["ssh-keys", "show"]).out;
        assert!(shown.contains(&format!("{OWN_FILE}:2 {}", fingerprint(world, "a"))), "{shown}");
        fs::write(OWN_FILE, &own).expect("written");
        assert_eq!(let_in(world, &sshd, &all), ["stage", "b"]);

        // The last one stays, until a person removes it.
        set_account_keys(world, &[]);
        let kept = apply(world);
        let b = fingerprint(world, "b");
        assert!(kept.err.contains(&format!("scw-agent ssh-keys remove {b}")), "{}", kept.err);
        assert_eq!(let_in(world, &sshd, &all), ["stage", "b"]);
        let shown = agent(world, &["ssh-keys", "show"]).out;
        assert!(shown.contains("lists no key of the account") && shown.contains('…'), "{shown}");
        assert_eq!(agent(world, &["ssh-keys", "remove", "SHA256:none"]).code, 3);
        assert_eq!(agent(world, &["ssh-keys", "remove", &b]).code, 0);
        assert_eq!(let_in(world, &sshd, &all), ["stage"]);
        assert_eq!(fs::read_to_string(OWN_FILE).expect("read"), own);
        assert_eq!(sshd.daemon().output().matches("Received SIGHUP").count(), 1, "one reload for all this");
        sshd.stop();
    });
}

#[test]
fn k2_no_other_answer_removes_or_adds_a_key() {
    World::builder().with_sshd().run(|world| {
        let sshd = machine(world);
        make_keys(world, &["a", "b", "evil"]);
        let all = ["stage", "a", "b", "evil"];
        set_account_keys(world, &["a", "b"]);
        assert_eq!(apply(world).code, 0);
        let text = fs::read_to_string(FILE).expect("read");
        let good = world.standin().conf();
        for fault in [Fault::status(500), Fault::status(403), Fault::status(404), Fault::CloseInBody] {
            set_account_keys(world, &["evil"]);
            world.standin().set_orders(vec![Order::new(fault.clone()).path("/conf")]);
            apply(world);
            world.standin().set_orders(vec![]);
            assert_eq!(fs::read_to_string(FILE).expect("read"), text, "{fault:?}");
        }
        // Another Instance, which the host-keys units have not confirmed.
        become_instance(world, OTHER_ID);
        let other = apply(world);
        assert!(other.err.contains("not confirmed"), "{}", other.err);
        assert_eq!(fs::read_to_string(FILE).expect("read"), text);
        for keys in [
            serde_json::json!(null),
            serde_json::json!([]),
            serde_json::json!("evil"),
            serde_json::json!([{ "key": format!("{}\n{}", public("a"), public("evil")) }]),
            serde_json::json!([{ "key": format!("command=\"true\" {}", public("evil")) }]),
            serde_json::json!([{ "key": public("b") }, { "key": &public("a")[..50] }]),
            serde_json::json!([{ "key": public("b") }, { "name": "a" }]),
        ] {
            let mut conf = good.clone();
            conf["ssh_public_keys"] = keys.clone();
            world.standin().set_conf(conf);
            apply(world);
            assert_eq!(let_in(world, &sshd, &all), ["stage", "a", "b"], "{keys}");
        }
        sshd.stop();
    });
}

#[test]
fn k1_configurations_of_sshd_and_who_gets_in() {
    World::builder().with_sshd().run(|world| {
        let sshd = machine(world);
        make_keys(world, &["a", "extra"]);
        let all = ["stage", "a", "extra"];
        set_account_keys(world, &["a"]);
        fs::create_dir("/etc/ssh/extra").expect("made");
        fs::write("/etc/ssh/extra/root", public("extra")).expect("written");
        let main = fs::read_to_string("/etc/ssh/sshd_config").expect("read");
        let without_include = main.replace("Include", "# Include");
        let none = main.replace("/etc/ssh/authorized_keys/%u", "none");
        let patterns = "AuthorizedKeysFile /etc/ssh/authorized_keys/%u";
        let drop_in = |name: &'static str, text: String| Some((name, text));
        // The other drop-in, the main file, who gets in, and what is said.
        for (other, main_file, enter, said) in [
            (None, &main, &["stage", "a"][..], ""),
            (drop_in("10-first.conf", format!("{patterns} /etc/ssh/extra/%u\n")), &main, &all, ""),
            (drop_in("90-later.conf", "Port 22\n".to_owned()), &main, &["stage", "a"], ""),
            (
                drop_in("10-blank.conf", format!("{patterns} \"/etc/ssh/x y/%u\"\n")),
                &main,
                &["stage"],
                "a blank",
            ),
            (
                drop_in("10-root.conf", format!("Match User root\n{patterns}\n")),
                &main,
                &["stage"],
                "below a Match",
            ),
            (
                drop_in("10-x.conf", "Match User x\nAuthorizedKeysFile /x\n".to_owned()),
                &main,
                &["stage"],
                "below a Match",
            ),
            (None, &without_include, &["stage"], "not included"),
            (None, &none, &[], "switches files with keys off"),
            (drop_in("10-broken.conf", "Frobnicate yes\n".to_owned()), &main, &["stage"], "Frobnicate"),
        ] {
            let case = Case { other, main_file, enter, said };
            check_case(world, &sshd, &case, &all);
            sh(world, "rm -f /etc/ssh/sshd_config.d/[19]0-*.conf /etc/ssh/sshd_config.d/60-scw-agent.conf");
            fs::write("/etc/ssh/sshd_config", &main).expect("written");
            sshd.daemon().signal(Signal::SIGHUP);
            until(world, "as before", || (let_in(world, &sshd, &all) == ["stage"]).then_some(()));
        }
        sshd.stop();
    });
}

/// A configuration of sshd, who gets in, and what the agent says.
struct Case<'a> {
    other: Option<(&'a str, String)>,
    main_file: &'a str,
    enter: &'a [&'a str],
    said: &'a str,
}

fn check_case(world: &World, sshd: &Sshd, case: &Case<'_>, all: &[&str]) {
    let Case { other, main_file, enter, said } = case;
    let title = format!("{other:?}");
    fs::write("/etc/ssh/sshd_config", main_file).expect("written");
    if let Some((name, text)) = other {
        fs::write(format!("/etc/ssh/sshd_config.d/{name}"), text).expect("written");
    }
    if *said != "Frobnicate" {
        sshd.daemon().signal(Signal::SIGHUP);
    }
    let applied = apply(world);
    assert!(applied.err.contains(said), "{title}: {}", applied.err);
    assert_eq!(said.is_empty(), Path::new(DROP_IN).exists(), "{title}");
    let shown = agent(world, &["ssh-keys", "show"]);
    assert_eq!(shown.code, i32::from(!said.is_empty()), "{title}: {}", shown.out);
    until(world, &title, || (let_in(world, sshd, all) == **enter).then_some(()));
    let signals = || sshd.daemon().output().matches("Received SIGHUP").count();
    let before = signals();
    let again = apply(world);
    assert!(again.err.contains(said), "{title}: {}", again.err);
    assert_eq!(before, signals(), "{title}: a second run changes nothing");
    let written = fs::read_to_string("/etc/ssh/sshd_config").expect("read");
    assert_eq!(&written, main_file, "a file of the administrator");
    check_other_users(world, &title, said);
}

/// The managed keys are root's alone.
fn check_other_users(world: &World, title: &str, said: &str) {
    if said == "Frobnicate" {
        return;
    }
    let of = |user: &str| {
        let connection = format!("user={user},host=x,addr=192.0.2.1");
        run(world.command("/usr/sbin/sshd").args(["-T", "-C", &connection])).out
    };
    assert_eq!(of("root").contains("scw-agent"), said.is_empty(), "{title}");
    assert!(!of("nobody").contains("scw-agent"), "{title}");
}

#[test]
fn k2_k3_copy_of_a_disk_and_the_keys_of_its_owner() {
    World::builder().with_sshd().run(|world| {
        let sshd = machine(world);
        make_keys(world, &["a", "b"]);
        let all = ["stage", "a", "b"];
        set_account_keys(world, &["a"]);
        assert_eq!(apply(world).code, 0);
        become_instance(world, OTHER_ID);
        assert!(apply(world).err.contains("not confirmed"));
        assert_eq!(let_in(world, &sshd, &all), ["stage", "a"]);
        confirm_instance(world);
        // The only way in stays.
        set_account_keys(world, &[]);
        let kept = apply(world);
        assert!(kept.err.contains("the keys of another Instance"), "{}", kept.err);
        assert_eq!(let_in(world, &sshd, &all), ["stage", "a"]);
        set_account_keys(world, &["b"]);
        assert_eq!(apply(world).code, 0);
        assert_eq!(let_in(world, &sshd, &all), ["stage", "b"]);
        // An image has no key of its builder.
        assert_eq!(agent(world, &["sysprep"]).code, 0);
        assert!(!Path::new(FILE).exists() && !Path::new(DROP_IN).exists());
        sshd.stop();
    });
}

#[test]
fn k2_k3_faulty_configuration_ends_nothing() {
    World::builder().with_sshd().run(|world| {
        let sshd = machine(world);
        make_keys(world, &["a"]);
        set_account_keys(world, &["a"]);
        assert_eq!(apply(world).code, 0);
        let own = fs::read_to_string(OWN_FILE).expect("read");
        fs::write(SETTINGS, "[ssh-keys]\nmanege = \"live\"\n").expect("written");
        let faulty = apply(world);
        assert!(faulty.code == 1 && faulty.err.contains("manege"), "{}", faulty.err);
        assert_eq!(let_in(world, &sshd, &["stage", "a"]), ["stage", "a"]);
        assert_eq!(fs::read_to_string(OWN_FILE).expect("read"), own);
        sshd.stop();
    });
}

#[test]
fn k3_end_of_the_management_locks_nobody_out() {
    World::builder().with_sshd().run(|world| {
        let sshd = machine(world);
        make_keys(world, &["a", "b"]);
        let all = ["stage", "a", "b"];
        set_account_keys(world, &["a", "b"]);
        assert_eq!(apply(world).code, 0);
        // Without an end of the last line, as some programs leave it.
        let own = format!("# mine\n{}\n{}", fs::read_to_string(OWN_FILE).expect("read"), public("a"));
        fs::write(OWN_FILE, &own).expect("written");
        // root's file cannot be changed: then sshd goes on reading the agent's.
        fs::rename(OWN_FILE, "/etc/ssh/elsewhere").expect("moved");
        std::os::unix::fs::symlink("/etc/ssh/elsewhere", OWN_FILE).expect("linked");
        let refused = agent(world, &["ssh-keys", "end"]);
        assert!(refused.code == 1 && refused.err.contains("goes on reading"), "{}", refused.err);
        assert_eq!(let_in(world, &sshd, &all), all);
        fs::rename("/etc/ssh/elsewhere", OWN_FILE).expect("moved");

        fs::write(SETTINGS, OFF).expect("written");
        assert_eq!(apply(world).code, 0);
        let text = fs::read_to_string(OWN_FILE).expect("read");
        assert!(text.starts_with(&format!("{own}\n# BEGIN")) && text.contains(&public("b")), "{text}");
        assert_eq!(text.matches(&public("a")).count(), 1, "it was there already");
        assert!(!Path::new(DROP_IN).exists() && !Path::new(FILE).exists());
        until(world, "all get in", || (let_in(world, &sshd, &all) == all).then_some(()));
        assert_eq!(apply(world).code, 0);
        assert_eq!(fs::read_to_string(OWN_FILE).expect("read"), text, "nothing is left to do");
        // Managed again, the keys of the block are the agent's again.
        fs::write(SETTINGS, LIVE).expect("written");
        set_account_keys(world, &["a"]);
        assert_eq!(apply(world).code, 0);
        assert_eq!(fs::read_to_string(OWN_FILE).expect("read"), format!("{own}\n"));
        until(world, "b was removed", || (let_in(world, &sshd, &all) == ["stage", "a"]).then_some(()));
        sshd.stop();
    });
}

#[test]
fn k2_daemon_requests_a_run_when_the_keys_change() {
    World::builder().run(|world| {
        let requested = || Path::new(REQUESTED).exists();
        make_host_key(world);
        make_keys(world, &["a", "b"]);
        set_account_keys(world, &["a"]);
        fs::write(SETTINGS, OFF).expect("written");
        let daemon = start_daemon(world);
        wait_until_settled(world);
        let looks = || request_lines(world).iter().filter(|line| line.ends_with(FINGERPRINTS)).count();
        let after_two_looks = || {
            let before = looks();
            until(world, "two looks", || (looks() >= before + 2).then_some(()));
        };
        after_two_looks();
        assert!(!requested(), "it is off");
        fs::write(SETTINGS, LIVE).expect("written");
        daemon.signal(Signal::SIGHUP);
        for keys in [&["a"][..], &["a", "b"]] {
            set_account_keys(world, keys);
            until(world, "requested", || requested().then_some(()));
            assert_eq!(apply(world).code, 0);
            let text = fs::read_to_string(FILE).expect("written");
            assert!(keys.iter().all(|name| text.contains(&public(name))), "{text}");
            // The drop-in is a change of sshd's configuration.
            until(world, "quiet", || {
                serve_requests(world);
                if requested() {
                    apply(world);
                }
                after_two_looks();
                (!requested()).then_some(())
            });
        }
        fs::write(SETTINGS, OFF).expect("written");
        daemon.signal(Signal::SIGHUP);
        until(world, "the end is requested", || requested().then_some(()));
        daemon.terminate();
    });
}

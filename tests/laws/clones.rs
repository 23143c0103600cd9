//! H1: what proves that the disk belongs to another Instance, and how a running sshd gets the new keys. A claim of the daemon proves nothing.

use std::fs;
use std::path::Path;

use scw_stage::{Reach, Sshd, World};
use scw_standin::{Family, Fault, Order};

use crate::machine::*;

const FIRST: &str = "daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86";
const CLONE: &str = "11111111-2222-4333-8444-555555555555";
const RECORD: &str = "/var/lib/scw-agent/instance.json";
const OLD_KEYS: &str = "/var/lib/scw-agent/old-host-keys";
const PENDING: &str = "/run/scw-agent-hostkeys/pending/instance-seen";
const RELOAD_PENDING: &str = "/run/scw-agent-hostkeys/pending/sshd-reload";
const CHECK_REQUESTED: &str = "/run/scw-agent-requests/host-keys/survey-requested";
const SSHD_PID: &str = "/run/sshd.pid";

fn public_key() -> String {
    fs::read_to_string("/etc/ssh/ssh_host_ed25519_key.pub").expect("a key")
}

fn recorded_instance() -> String {
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(RECORD).expect("a record")).expect("JSON");
    record["instance"].as_str().expect("an id").to_owned()
}

fn settle(world: &World) -> Ended {
    agent(world, &["host-keys", "settle"])
}

/// Boots the disk in the Instance with this id, up to the settle pass.
fn boot(world: &World, id: &str) {
    world.reboot();
    make_host_key(world);
    request_instance(world, id);
}

#[test]
fn h1_lying_daemon_changes_no_key() {
    World::builder().run(|world| {
        boot(world, FIRST);
        assert_eq!(settle(world).code, 0);
        let first = public_key();
        let lie = || {
            fs::write(INSTANCE_SEEN, CLONE).expect("written");
            let settled = settle(world);
            assert_eq!(settled.code, 0, "{}", settled.err);
            assert_eq!((public_key(), recorded_instance()), (first.clone(), FIRST.to_owned()));
        };
        for _ in 0..3 {
            boot(world, FIRST);
            lie();
            // Without the metadata service, nothing is proven.
            world.set_reach(Family::Ipv4, Reach::Absent);
            world.set_reach(Family::Ipv6, Reach::Absent);
            lie();
            assert!(Path::new(PENDING).exists());
            world.set_reach(Family::Ipv4, Reach::Served);
            world.set_reach(Family::Ipv6, Reach::Served);
        }
        // Root sends one request of its own, from an unprivileged port.
        world.standin().clear_requests();
        lie();
        let requests = world.standin().requests();
        let asked: Vec<_> = requests.iter().map(|request| request.target.as_str()).collect();
        assert_eq!(asked, ["/conf?format=json"]);
        assert!(requests[0].peer.port() >= 1024, "{}", requests[0].peer);

        boot(world, CLONE);
        assert_eq!(settle(world).code, 0);
        assert!(public_key() != first && recorded_instance() == CLONE, "a real clone is still detected");
    });
}

#[test]
fn h1_settle_works_with_the_capabilities_of_its_unit() {
    World::builder().run(|world| {
        boot(world, FIRST);
        assert_eq!(settle(world).code, 0);
        let first = public_key();
        boot(world, CLONE);
        let mut command = world.command("setpriv");
        let capabilities = "-all,+chown,+dac_override,+fowner,+net_raw";
        command.args([format!("--bounding-set={capabilities}"), "--inh-caps=-all".to_owned()]);
        let settled = run(command.args(["--no-new-privs", "--", AGENT, "host-keys", "settle"]));
        assert_eq!(settled.code, 0, "{}", settled.err);
        assert!(public_key() != first && recorded_instance() == CLONE, "{}", settled.err);
        assert!(world.tcp_table().is_empty(), "the service closes the connection: {:?}", world.tcp_table());
    });
}

#[test]
fn h1_clone_is_found_when_the_service_answers_later() {
    World::builder().run(|world| {
        boot(world, FIRST);
        assert_eq!(settle(world).code, 0);
        let first = public_key();
        for (number, fault) in [
            Fault::Refuse,
            Fault::status(403),
            Fault::status(503),
            Fault::Garbage,
            Fault::CloseInBody,
            Fault::Body { text: "{\"id\":\"none\"}".to_owned() },
        ]
        .into_iter()
        .enumerate()
        {
            let id = format!("{number}1111111-2222-4333-8444-555555555555");
            let before = public_key();
            boot(world, &id);
            world.standin().set_orders(vec![Order::new(fault.clone())]);
            let settled = settle(world);
            assert_eq!(settled.code, 0, "{fault:?}: {}", settled.err);
            assert!(settled.err.contains("trying again later"), "{fault:?}: {}", settled.err);
            assert!(!Path::new(INSTANCE_SEEN).exists() && Path::new(PENDING).exists(), "{fault:?}");
            assert_eq!(public_key(), before, "{fault:?}");
            world.standin().set_orders(Vec::new());
            // Any later start serves the pending request.
            assert_eq!(settle(world).code, 0);
            assert!(public_key() != before && recorded_instance() == id, "{fault:?}");
            assert!(!Path::new(PENDING).exists());
        }
        assert_ne!(public_key(), first);
    });
}

#[test]
fn h1_daemon_repeats_a_request_that_was_not_served() {
    World::builder().run(|world| {
        boot(world, FIRST);
        assert_eq!(settle(world).code, 0);
        let first = public_key();
        boot(world, CLONE);
        fs::remove_file(INSTANCE_SEEN).expect("removed");
        let daemon = start_daemon(world);
        until(world, "requested", || Path::new(INSTANCE_SEEN).exists().then_some(()));
        world.standin().set_orders(vec![Order::new(Fault::Refuse)]);
        assert_eq!(settle(world).code, 0);
        assert!(Path::new(PENDING).exists() && !Path::new(CHECK_REQUESTED).exists());
        world.standin().set_orders(Vec::new());
        until(world, "requested again", || Path::new(CHECK_REQUESTED).exists().then_some(()));
        assert_eq!(settle(world).code, 0);
        assert!(public_key() != first && recorded_instance() == CLONE);
        daemon.terminate();
    });
}

#[test]
fn h1_six_clones_in_a_row_leave_five_old_sets() {
    World::builder().run(|world| {
        boot(world, FIRST);
        assert_eq!(settle(world).code, 0);
        let mut keys = vec![public_key()];
        for number in 0..6 {
            boot(world, &format!("{number}1111111-2222-4333-8444-555555555555"));
            assert_eq!(settle(world).code, 0);
            keys.push(public_key());
        }
        let kept = || run(world.command("sh").args(["-c", &format!("cat {OLD_KEYS}/*/*.pub")])).out;
        let expected: Vec<_> = keys[1..6].iter().map(|key| key.trim().to_owned()).collect();
        assert_eq!(
            kept().lines().map(str::to_owned).collect::<Vec<_>>(),
            expected,
            "the oldest set was removed"
        );

        // Entries with unexpected names are removed first, in any run.
        let script = format!(
            "cd {OLD_KEYS} && mkdir -p zzz/x 9999 && ln -s /etc/ssh A && : >$(printf '\\033[2J\\377')"
        );
        assert_eq!(run(world.command("bash").args(["-c", &script])).code, 0);
        let ensured = agent(world, &["host-keys", "ensure"]);
        assert!(ensured.code == 0 && !ensured.err.contains('\u{1b}'), "{}", ensured.err);
        assert_eq!(fs::read_dir(OLD_KEYS).expect("listed").count(), 5);
        assert_eq!(kept().lines().map(str::to_owned).collect::<Vec<_>>(), expected);
        assert!(Path::new("/etc/ssh/ssh_host_ed25519_key").exists(), "a link is not followed");
    });
}

#[test]
fn h1_renewal_that_fails_again_and_again_keeps_one_old_set() {
    World::builder().run(|world| {
        boot(world, FIRST);
        assert_eq!(settle(world).code, 0);
        let first = public_key();
        boot(world, CLONE);
        for _ in 0..7 {
            let failed = without_keygen(world, || settle(world));
            assert_eq!(failed.code, 1, "{}", failed.err);
            assert!(Path::new(PENDING).exists(), "the proof is checked again at the next start");
        }
        assert_eq!(fs::read_dir(OLD_KEYS).expect("listed").count(), 1);
        assert_eq!(settle(world).code, 0);
        assert!(public_key() != first && recorded_instance() == CLONE);
        assert_eq!(fs::read_dir(OLD_KEYS).expect("listed").count(), 1);
    });
}

/// The host keys that sshd offers to a client: type and key in base64.
fn scanned_keys(world: &World, sshd: &Sshd) -> Vec<String> {
    let scanned = run(&mut sshd.keyscan(world)).out;
    let keys = scanned.lines().filter(|line| !line.starts_with('#'));
    keys.map(|line| line.split(' ').skip(1).collect::<Vec<_>>().join(" ")).collect()
}

/// Type and key in base64 of a public key line.
fn key_text(key: &str) -> String {
    key.split(' ').take(2).collect::<Vec<_>>().join(" ").trim().to_owned()
}

#[test]
fn d2_broken_sshd_configuration_does_not_stop_sshd() {
    const DROP_IN: &str = "/etc/ssh/sshd_config.d/50-broken.conf";
    World::builder().with_sshd().run(|world| {
        boot(world, FIRST);
        assert_eq!(settle(world).code, 0);
        let first = public_key();
        boot(world, CLONE);
        let mut sshd = Sshd::start(world).expect("sshd");
        fs::write(DROP_IN, "NoSuchOption yes\n").expect("written");
        let settled = settle(world);
        assert_eq!(settled.code, 1, "{}", settled.err);
        let message =
            settled.err.lines().find(|line| line.contains("sshd was not reloaded")).unwrap_or_default();
        assert!(
            message.contains("sshd refuses its configuration") && message.contains("NoSuchOption"),
            "{}",
            settled.err
        );
        assert_ne!(public_key(), first, "the keys are new");
        assert!(
            sshd.daemon_mut().wait(std::time::Duration::from_millis(500)).is_none(),
            "sshd keeps running"
        );
        // Before OpenSSH 9.8, the process of each connection reads the keys again. Since 9.8, the listening process reads them once.
        let served = scanned_keys(world, &sshd);
        assert!(served == [key_text(&first)] || served == [key_text(&public_key())], "{served:?}");
        assert!(Path::new(RELOAD_PENDING).exists());
        assert_eq!(confirmed_instance(), None, "sshd may still serve the old keys");
        assert_eq!(recorded_instance(), FIRST, "sshd may serve keys that the agent does not know");

        fs::remove_file(DROP_IN).expect("removed");
        assert_eq!(settle(world).code, 0);
        assert_eq!((confirmed_instance().as_deref(), &*recorded_instance()), (Some(CLONE), CLONE));
        until(world, "served", || (scanned_keys(world, &sshd) == [key_text(&public_key())]).then_some(()));
        assert!(!Path::new(RELOAD_PENDING).exists());
    });
}

/// The Instance for which the daemon may publish the keys.
fn confirmed_instance() -> Option<String> {
    let served = fs::read("/run/scw-agent-hostkeys/served.json").expect("the file with the served keys");
    let served: serde_json::Value = serde_json::from_slice(&served).expect("JSON");
    served["instance"].as_str().map(str::to_owned)
}

#[test]
fn h1_key_that_a_broken_configuration_hid_is_replaced() {
    const DROP_INS: &str = "/etc/ssh/sshd_config.d";
    World::builder().with_sshd().run(|world| {
        let keys = "HostKey /etc/ssh/own_key\nHostKey /etc/ssh/ssh_host_ed25519_key\n";
        fs::write(format!("{DROP_INS}/50-own.conf"), keys).expect("written");
        let words = ["-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/own_key"];
        assert_eq!(run(world.command("ssh-keygen").args(words)).code, 0);
        boot(world, FIRST);
        assert_eq!(settle(world).code, 0);
        let own = || fs::read("/etc/ssh/own_key").expect("a key");
        let first = (public_key(), own());
        for is_broken_at_boot in [true, false] {
            let id = if is_broken_at_boot { CLONE } else { FIRST };
            let before = (public_key(), own());
            let break_configuration = || {
                fs::rename(format!("{DROP_INS}/50-own.conf"), "/etc/ssh/50-own.conf").expect("renamed");
                fs::write(format!("{DROP_INS}/50-own.conf"), "NoSuchOption yes\n").expect("written");
            };
            world.reboot();
            if is_broken_at_boot {
                break_configuration();
                assert_eq!(agent(world, &["host-keys", "ensure"]).code, 1);
            } else {
                make_host_key(world);
                break_configuration();
            }
            request_instance(world, id);
            assert_eq!(settle(world).code, 1);
            assert!(public_key() != before.0 && own() == before.1, "the known key is replaced");
            let renewed = public_key();
            fs::copy("/etc/ssh/50-own.conf", format!("{DROP_INS}/50-own.conf")).expect("copied");
            fs::remove_file("/etc/ssh/50-own.conf").expect("removed");
            let settled = settle(world);
            assert_eq!(settled.code, 0, "{}", settled.err);
            assert_ne!(own(), before.1, "the key that was hidden is replaced too");
            assert_eq!(
                (public_key(), recorded_instance()),
                (renewed, id.to_owned()),
                "no key is replaced twice"
            );
        }
        assert!(public_key() != first.0 && own() != first.1);
    });
}

#[test]
fn h3_published_value_stays_while_served_keys_are_unknown() {
    World::builder().with_sshd().run(|world| {
        let keygen = |path| {
            let words = ["-q", "-t", "ed25519", "-N", "", "-f", path];
            assert_eq!(run(world.command("ssh-keygen").args(words)).code, 0);
        };
        keygen("/etc/ssh/own_key");
        fs::write("/etc/ssh/sshd_config.d/50-own.conf", "HostKey /etc/ssh/own_key\n").expect("written");
        boot(world, FIRST);
        assert_eq!(settle(world).code, 0);
        assert_eq!(confirmed_instance().as_deref(), Some(FIRST));
        // sshd keeps its key. The default key exists too.
        keygen("/etc/ssh/ssh_host_ed25519_key");
        fs::write("/etc/ssh/sshd_config.d/50-own.conf", "NoSuchOption yes\n").expect("written");
        fs::write(CHECK_REQUESTED, "").expect("written");
        assert_eq!(settle(world).code, 1);
        assert_eq!(confirmed_instance(), None);
    });
}

#[test]
fn d2_options_of_the_running_sshd_are_checked() {
    World::builder().with_sshd().run(|world| {
        boot(world, FIRST);
        assert_eq!(settle(world).code, 0);
        boot(world, CLONE);
        // sshd runs with another configuration file, which is broken now; the usual file is valid.
        fs::copy("/etc/ssh/sshd_config", "/etc/ssh/own_config").expect("copied");
        let mut sshd = Sshd::start_with(world, &["-f", "/etc/ssh/own_config"]).expect("sshd");
        fs::write("/etc/ssh/own_config", "NoSuchOption yes\n").expect("written");
        let settled = settle(world);
        assert!(settled.code == 1 && settled.err.contains("own_config"), "{} {}", settled.code, settled.err);
        assert!(
            sshd.daemon_mut().wait(std::time::Duration::from_millis(500)).is_none(),
            "sshd keeps running"
        );
    });
}

#[test]
fn d2_no_process_but_a_listening_sshd_is_signalled() {
    World::builder().with_sshd().run(|world| {
        boot(world, FIRST);
        assert_eq!(settle(world).code, 0);
        let sshd = Sshd::start(world).expect("sshd");
        fs::write("/run/known_hosts", format!("127.0.0.1 {}\n", key_text(&public_key()))).expect("written");
        let mut session = sshd.ssh(world, Path::new("/run/known_hosts"));
        let session = scw_stage::Daemon::spawn(session.args(["echo in; exec sleep 600"])).expect("started");
        assert!(
            session.wait_for(LONG, |lines| lines.iter().any(|line| line == "in")),
            "{}",
            session.output()
        );
        let listener = sshd.daemon().pid();
        let children =
            fs::read_to_string(format!("/proc/{listener}/task/{listener}/children")).expect("read");
        let monitor: i32 =
            children.split_whitespace().next().expect("the session's process").parse().expect("a number");
        // Another program of root with a similar file name, and one that only calls itself sshd.
        copy_program(world, "/bin/sleep", "/run/sshd-of-root");
        let of_root =
            scw_stage::Daemon::spawn(world.command("/run/sshd-of-root").arg("600")).expect("started");
        let named =
            scw_stage::Daemon::spawn(world.command("bash").args(["-c", "exec -a /usr/sbin/sshd sleep 600"]))
                .expect("started");
        for (number, pid) in
            [monitor, of_root.pid().as_raw(), named.pid().as_raw(), 1, -1, i32::MAX].into_iter().enumerate()
        {
            let _ = fs::remove_dir_all("/run/scw-agent-hostkeys");
            make_host_key(world);
            fs::write(SSHD_PID, pid.to_string()).expect("written");
            request_instance(world, &format!("{number}1111111-2222-4333-8444-555555555555"));
            let before = public_key();
            let settled = settle(world);
            assert!(settled.code == 0 && !settled.err.contains("SIGHUP to sshd"), "{pid}: {}", settled.err);
            assert_ne!(public_key(), before);
        }
        for (what, mut process) in
            [("the session", session), ("sshd-of-root", of_root), ("another program", named)]
        {
            assert!(process.wait(std::time::Duration::from_millis(100)).is_none(), "{what} was signalled");
        }
        // The listening sshd is signalled.
        fs::write(SSHD_PID, listener.to_string()).expect("written");
        let _ = fs::remove_dir_all("/run/scw-agent-hostkeys");
        make_host_key(world);
        request_instance(world, CLONE);
        let settled = settle(world);
        assert!(settled.code == 0 && settled.err.contains("SIGHUP to sshd"), "{}", settled.err);
        until(world, "served", || (scanned_keys(world, &sshd) == [key_text(&public_key())]).then_some(()));
    });
}

//! D3: locks and request files of other users neither stop nor control the units that run as root.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use scw_stage::{Daemon, Reach, World};
use scw_standin::{Fault, Order};

use crate::machine::*;

const CLONE: &str = "11111111-2222-4333-8444-555555555555";
const KEY: &str = "/etc/ssh/ssh_host_ed25519_key.pub";
const LOCK: &str = "/var/lib/scw-agent/host-keys.lock";
const PENDING: &str = "/run/scw-agent-hostkeys/pending";
/// In s: ends a command that hangs. Far longer than any command takes.
const HANGS_AFTER: &str = "120";

fn public_key() -> String {
    fs::read_to_string(KEY).expect("a key")
}

/// The agent, which is ended if it hangs.
fn agent_with_timeout(world: &World, words: &[&str]) -> Command {
    let mut command = world.command("timeout");
    command.args([HANGS_AFTER, AGENT]).args(words);
    command
}

/// The disk's first boot, in which the Instance is recorded.
fn first_boot(world: &World) {
    make_host_key(world);
    fs::write(INSTANCE_SEEN, "").expect("written");
    assert_eq!(agent(world, &["host-keys", "settle"]).code, 0);
}

/// A shell script as the daemon's user.
fn as_daemon_user(world: &World, script: &str) -> Command {
    let mut command = world.command("setpriv");
    command.args([format!("--reuid={}", world.agent_uid()), format!("--regid={}", world.agent_gid())]);
    command.args(["--clear-groups", "--", "bash", "-c", script]);
    command
}

#[test]
fn d3_lock_of_another_user_stops_no_role() {
    World::builder().run(|world| {
        first_boot(world);
        let first = public_key();
        world.reboot();
        make_host_key(world);
        // Takes exclusive locks on everything in the folders of the agent and of sshd that this user can open.
        let script = "for path in $(find /etc/ssh /run/scw-agent* /var/lib/scw-agent 2>/dev/null); do
                exec {fd}<\"$path\" && flock --exclusive --nonblock $fd && echo \"holds $path\"
            done 2>/dev/null; echo ready; exec sleep 600";
        let holder = Daemon::spawn(&mut as_daemon_user(world, script)).expect("started");
        assert!(holder.wait_for(LONG, |lines| lines.iter().any(|line| line == "ready")));
        let held = holder.output();
        assert!(held.contains("holds /etc/ssh\n") && !held.contains("lock"), "{held}");

        assert_eq!(run(&mut agent_with_timeout(world, &["host-keys", "ensure"])).code, 0);
        request_instance(world, CLONE);
        let settled = run(&mut agent_with_timeout(world, &["host-keys", "settle"]));
        assert_eq!(settled.code, 0, "{}", settled.err);
        assert_ne!(public_key(), first, "the clone has new keys");
    });
}

#[test]
fn d3_stuck_process_with_the_lock_costs_30_s_and_no_request() {
    // In parallel, because each waits for the lock.
    std::thread::scope(|scope| {
        scope.spawn(|| World::builder().run(check_stuck_process_with_keys));
        scope.spawn(|| World::builder().run(check_stuck_process_without_keys));
    });
}

/// Starts a process that has the lock and does nothing.
fn start_stuck_process(world: &World) -> Daemon {
    let script = format!("exec 9>>{LOCK}; flock 9 && echo held; exec sleep 600");
    let stuck = Daemon::spawn(world.command("bash").args(["-c", &script])).expect("started");
    assert!(stuck.wait_for(LONG, |lines| lines.iter().any(|line| line == "held")));
    stuck
}

fn check_stuck_process_with_keys(world: &World) {
    first_boot(world);
    let first = public_key();
    world.reboot();
    make_host_key(world);
    fs::remove_file("/run/scw-agent-hostkeys/served.json").expect("removed");
    let stuck = start_stuck_process(world);
    request_instance(world, CLONE);
    let mut ensure =
        Daemon::spawn(&mut agent_with_timeout(world, &["host-keys", "ensure"])).expect("started");
    let mut settle =
        Daemon::spawn(&mut agent_with_timeout(world, &["host-keys", "settle"])).expect("started");
    for (pass, what) in [(&mut ensure, "are not changed"), (&mut settle, "stay pending")] {
        let code = pass.wait(Duration::from_secs(180)).and_then(|status| status.code());
        assert!(code == Some(1) && pass.output().contains(what), "{code:?} {}", pass.output());
    }
    assert_eq!(public_key(), first);
    assert!(
        fs::exists("/run/scw-agent-hostkeys/served.json").expect("checked"),
        "the served keys are written in spite of the lock"
    );
    assert!(Path::new(INSTANCE_SEEN).exists(), "the request stays");
    stuck.terminate();
    let settled = agent(world, &["host-keys", "settle"]);
    assert_eq!(settled.code, 0, "{}", settled.err);
    assert_ne!(public_key(), first, "a later start serves the request");
    assert!(!Path::new(INSTANCE_SEEN).exists());
}

fn check_stuck_process_without_keys(world: &World) {
    one_key_type();
    let _stuck = start_stuck_process(world);
    let ensured = run(&mut agent_with_timeout(world, &["host-keys", "ensure"]));
    assert_eq!(ensured.code, 1, "{}", ensured.err);
    assert!(Path::new(KEY).exists(), "without any key, sshd would not start: {}", ensured.err);
}

/// Entries that the daemon's user makes instead of a request, and beside it in its folder.
const HOSTILE: [&str; 9] = [
    "mkdir $name && perl -e 'chdir $ARGV[0]; for (1..1500) { mkdir \"d\"; chdir \"d\" or die }' $name",
    "mkfifo $name",
    "ln -s /etc/shadow $name",
    "ln -s /etc/ssh $name",
    "ln -s \"$PWD/$name\" $name",
    "ln -s $(printf 'x%.0s' $(seq 300)) $name",
    "truncate -s 2G $name && ln $name more",
    "perl -e 'use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0); bind($s, sockaddr_un($ARGV[0])) or die' $name",
    "for n in $(seq 300); do : >more-$n; done; mkdir $'evil\\n\\x1b[2J\\xff'; mkdir -p .hidden/x; : >$name",
];

#[test]
fn d3_hostile_request_is_removed_and_harms_nothing() {
    World::builder().run(|world| {
        first_boot(world);
        let first = public_key();
        let digest =
            || run(world.command("sh").args(["-c", "sha256sum /etc/shadow /etc/passwd; ls -l /etc/ssh"])).out;
        let before = digest();
        for (folder, name, words) in [
            ("host-keys", "instance-seen", ["host-keys", "settle"]),
            ("host-keys", "survey-requested", ["host-keys", "settle"]),
            ("setup", "setup-requested", ["setup", "run"]),
        ] {
            let folder = format!("/run/scw-agent-requests/{folder}");
            for make in HOSTILE {
                let script = format!("set -e; cd {folder}; name={name}; {make}");
                let made = run(&mut as_daemon_user(world, &script));
                assert_eq!(made.code, 0, "{make}: {}", made.err);
                let ran = run(&mut agent_with_timeout(world, &words));
                assert_eq!(ran.code, 0, "{make}: {}", ran.err);
                assert!(!ran.err.contains("root:"), "{}", ran.err);
                let entries = run(world.command("ls").arg(&folder)).out;
                assert_eq!(entries, "", "{make}: a remaining entry would start the unit again");
            }
        }
        assert_eq!((digest(), public_key()), (before, first));
        // A later request is served as usual.
        request_instance(world, CLONE);
        assert_eq!(agent(world, &["host-keys", "settle"]).code, 0);
        assert!(!public_key().is_empty() && !Path::new(PENDING).join("instance-seen").exists());
    });
}

#[test]
fn d3_request_that_stays_is_an_error_and_the_work_is_done() {
    World::builder().run(|world| {
        first_boot(world);
        let first = public_key();
        world.reboot();
        make_host_key(world);
        request_instance(world, CLONE);
        world.standin().set_user_data("setup-script", "#!/bin/sh\necho ran >>/root/ran\n");
        for path in [INSTANCE_SEEN, SETUP_REQUESTED] {
            sh(world, &format!("touch {path}; chattr +i {path}"));
        }
        for words in [["host-keys", "settle"], ["setup", "run"]] {
            let ran = run(&mut agent_with_timeout(world, &words));
            assert!(ran.code == 1 && ran.err.contains("cannot remove"), "{} {}", ran.code, ran.err);
        }
        assert_ne!(public_key(), first);
        assert_eq!(fs::read_to_string("/root/ran").expect("the script ran"), "ran\n");
        sh(world, &format!("chattr -i {INSTANCE_SEEN} {SETUP_REQUESTED}"));
    });
}

#[test]
fn d3_sockets_and_pipes_of_the_daemon_are_not_opened() {
    // A run that opens the pipe would wait for its other end.
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        make_host_key(world);
        let made = run(&mut as_daemon_user(world, &format!("mkfifo -m 666 {INSTANCE_SEEN}")));
        assert_eq!(made.code, 0, "{}", made.err);
        assert!(fs::symlink_metadata(INSTANCE_SEEN).expect("there").file_type().is_fifo());
        let settled = run(&mut agent_with_timeout(world, &["host-keys", "settle"]));
        assert_eq!(settled.code, 0, "{}", settled.err);
        assert!(
            Path::new(PENDING).join("instance-seen").exists(),
            "the service did not answer, so the request is pending"
        );
    });
}

#[test]
fn s1_request_during_a_run_is_served_after_it() {
    World::builder().run(|world| {
        fs::write("/etc/scw-agent.toml", "[setup]\non-change = \"now\"\n").expect("written");
        // The script writes the request itself, as the daemon does when it sees a change during the run.
        let script = format!("#!/bin/sh\necho ran >>/root/ran\n: >{SETUP_REQUESTED}\n");
        world.standin().set_user_data("setup-script", script);
        fs::write(SETUP_REQUESTED, "").expect("written");
        assert_eq!(agent(world, &["setup", "run"]).code, 0);
        assert!(Path::new(SETUP_REQUESTED).exists(), "the request starts the unit again");

        // The next run does not reach the service. The request is pending, and the start after it serves it.
        world.standin().set_user_data("setup-script", "#!/bin/sh\necho changed >>/root/ran\n");
        world.standin().set_orders(vec![Order::new(Fault::Refuse)]);
        assert_eq!(agent(world, &["setup", "run"]).code, 0);
        assert!(!Path::new(SETUP_REQUESTED).exists());
        world.standin().set_orders(Vec::new());
        assert_eq!(agent(world, &["setup", "run"]).code, 0);
        assert_eq!(fs::read_to_string("/root/ran").expect("read"), "ran\nchanged\n");
        assert_eq!(agent(world, &["setup", "run"]).code, 0);
        assert_eq!(
            fs::read_to_string("/root/ran").expect("read"),
            "ran\nchanged\n",
            "the request is served once"
        );
    });
}

#[test]
fn d3_paced_run_waits_before_it_starts() {
    World::builder().run(|world| {
        make_host_key(world);
        // Earlier runs have reserved much time.
        fs::create_dir_all("/run/scw-agent-hostkeys/private").expect("made");
        fs::write("/run/scw-agent-hostkeys/private/runs", u64::MAX.to_string()).expect("written");
        let paced = run(&mut agent_with_timeout(world, &["host-keys", "settle", "--paced"]));
        assert!(
            paced.code == 0 && paced.err.contains("this run waits for 5 s"),
            "{} {}",
            paced.code,
            paced.err
        );
        let not_paced = run(&mut agent_with_timeout(world, &["host-keys", "settle"]));
        assert!(not_paced.code == 0 && !not_paced.err.contains("waits"), "{}", not_paced.err);
    });
}

#[test]
fn d3_daemon_sees_what_is_pending_whatever_the_umask() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        one_key_type();
        for path in [INSTANCE_SEEN, SETUP_REQUESTED] {
            fs::write(path, "").expect("written");
        }
        // The folders in /run do not exist yet.
        let script = format!("umask 077; {AGENT} host-keys settle --paced && {AGENT} setup run --paced");
        sh(world, &script);
        for role in ["hostkeys", "setup"] {
            let folder = format!("/run/scw-agent-{role}");
            let seen =
                run(&mut as_daemon_user(world, &format!("ls {folder}/pending && ! ls {folder}/private")));
            assert!(seen.code == 0 && !seen.out.is_empty(), "{folder}: {} {}", seen.out, seen.err);
        }
    });
}

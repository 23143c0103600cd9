//! The daemon: its configuration, who may use its local API, reloading, its messages to systemd, and the rights of its process.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use nix::sys::signal::Signal;
use scw_stage::{Daemon, Notify, Reach, World};

use crate::machine::*;

const MAIN: &str = "/etc/scw-agent.toml";
/// How many daemons are killed, each between 0 and 11 ms after its start.
const KILLS: u64 = 600;
/// The user `nobody`, whom a test adds to a group.
const MEMBER: u32 = 65534;

/// `scw-userdata` as another user, without supplementary groups: the daemon uses the groups in the user database.
fn userdata_as_user(world: &World, uid: u32, words: &[&str]) -> Ended {
    // Other users may have no access to the build folder.
    let copy = "/run/scw-userdata";
    if fs::metadata(copy).is_err() {
        copy_program(world, userdata_program(), copy);
    }
    let user = [format!("--reuid={uid}"), format!("--regid={uid}")];
    run(world.command("setpriv").args(user).args(["--clear-groups", "--", copy]).args(words))
}

/// Adds a line to /etc/group.
fn add_group(line: &str) {
    let groups = fs::read_to_string("/etc/group").expect("read");
    fs::write("/etc/group", format!("{groups}{line}\n")).expect("written");
}

/// Starts the daemon, with the socket that receives its messages to systemd.
fn start_with_notify(world: &World) -> (Daemon, Notify) {
    let notify = Notify::new(world).expect("a socket");
    let mut command = world.agent_command(AGENT);
    let daemon = Daemon::spawn(command.arg("daemon").env("NOTIFY_SOCKET", notify.path())).expect("started");
    assert!(notify.wait_for("READY=1", LONG), "{}", daemon.output());
    (daemon, notify)
}

fn status(world: &World) -> serde_json::Value {
    serde_json::from_str(&agent(world, &["status", "--json"]).out).expect("a document")
}

#[test]
fn d3_one_group_may_read_and_another_may_write() {
    World::builder().run(|world| {
        world.standin().set_user_data("key", "value");
        add_group("readers:x:7001:nobody");
        add_group("writers:x:7002:");
        fs::write(MAIN, "[local-api]\nread-group = \"readers\"\nwrite-group = \"writers\"\n")
            .expect("written");
        let daemon = start_daemon(world);
        let got = userdata_as_user(world, MEMBER, &["key"]);
        assert_eq!((got.code, &*got.out), (0, "value"), "{}", got.err);
        for words in [&["key", "other"][..], &["--delete", "key"]] {
            let refused = userdata_as_user(world, MEMBER, words);
            assert_eq!(refused.code, 4, "{}", refused.err);
            assert!(refused.err.contains("only root and members of writers may set"), "{}", refused.err);
        }
        assert!(
            !request_lines(world)
                .iter()
                .any(|line| line.starts_with("PATCH /user_data/key") || line.starts_with("DELETE"))
        );
        // Other users are still refused. A primary group gives the same rights as a supplementary one.
        let refused = userdata_as_user(world, 12345, &["key"]);
        assert_eq!((refused.code, &*refused.out), (4, ""), "{}", refused.err);
        assert!(refused.err.contains("members of readers and writers"), "{}", refused.err);
        let written = userdata_as_user(world, 7002, &["key", "other"]);
        assert_eq!(written.code, 0, "{}", written.err);
        assert_eq!(world.standin().user_data("key").as_deref(), Some(&b"other"[..]));
        // A user who is removed from the group loses access at once.
        let groups = fs::read_to_string("/etc/group").expect("read");
        fs::write("/etc/group", groups.replace("readers:x:7001:nobody", "readers:x:7001:")).expect("written");
        assert_eq!(userdata_as_user(world, MEMBER, &["key"]).code, 4);
        daemon.terminate();
    });
}

#[test]
fn d3_missing_group_gives_nobody_access() {
    World::builder().run(|world| {
        fs::write(MAIN, "[local-api]\nread-group = \"no-such-group\"\n").expect("written");
        let daemon = start_daemon(world);
        assert_eq!(userdata_as_user(world, MEMBER, &[]).code, 4);
        assert_eq!(userdata(world, &[]).code, 0, "root needs no group");
        daemon.terminate();
    });
}

#[test]
fn reload_applies_valid_files_and_reports_broken_ones() {
    World::builder().run(|world| {
        world.standin().set_user_data("key", "value");
        make_host_key(world);
        add_group("readers:x:7001:nobody");
        let (daemon, notify) = start_with_notify(world);
        wait_until_settled(world);
        assert_eq!(userdata_as_user(world, MEMBER, &["key"]).code, 4);

        fs::write(MAIN, "[local-api]\nread-group = \"readers\"\n").expect("written");
        daemon.signal(Signal::SIGHUP);
        until(world, "accepted as a group member", || {
            (userdata_as_user(world, MEMBER, &["key"]).code == 0).then_some(())
        });
        // The messages may arrive after the effect is visible.
        until(world, "reloading and ready again", || {
            let messages = notify.messages().join("\n");
            let (begin, time) = (messages.find("RELOADING=1")?, messages.find("MONOTONIC_USEC=")?);
            (begin < time && messages.rfind("READY=1")? > time).then_some(())
        });

        fs::write(MAIN, "[local-api]\nread-gruop = \"readers\"\n").expect("written");
        daemon.signal(Signal::SIGHUP);
        until(world, "reporting the error to systemd", || {
            notify.messages().join("\n").contains("; the configuration has errors").then_some(())
        });
        assert_eq!(userdata_as_user(world, MEMBER, &["key"]).code, 0, "the valid settings stay");
        let shown = status(world);
        let problem = &shown["problems"][0];
        assert!(
            problem["what"].as_str().is_some_and(|what| what.contains("did you mean `read-group`?")),
            "{shown}"
        );
        assert!(problem["remedy"].as_str().is_some_and(|remedy| remedy.contains("reload")), "{shown}");

        fs::remove_file(MAIN).expect("removed");
        daemon.signal(Signal::SIGHUP);
        until(world, "without problems", || {
            status(world)["problems"].as_array().is_some_and(Vec::is_empty).then_some(())
        });
        assert_eq!(userdata_as_user(world, MEMBER, &["key"]).code, 4);
        daemon.terminate();
    });
}

#[test]
fn broken_configuration_file_is_reported_and_ignored() {
    World::builder().run(|world| {
        fs::create_dir_all("/etc/scw-agent.toml.d").expect("made");
        fs::write(MAIN, "[host-keys]\ntypes = [\"ed25519\"]\n").expect("written");
        fs::write("/etc/scw-agent.toml.d/50-slip.toml", "[host-keys]\ntypse = [\"rsa\"]\n").expect("written");
        let made = agent(world, &["host-keys", "ensure"]);
        assert_eq!(made.code, 0, "{}", made.err);
        assert!(made.err.contains("50-slip.toml, line 2, column 1"), "{}", made.err);
        assert!(fs::metadata("/etc/ssh/ssh_host_ed25519_key").is_ok());
        assert!(fs::metadata("/etc/ssh/ssh_host_rsa_key").is_err(), "the valid file is used");
        let daemon = start_daemon(world);
        wait_until_published(world);
        let shown = agent(world, &["status"]);
        assert!(shown.code == 1 && shown.out.contains("did you mean `types`?"), "{}", shown.out);

        let checked = agent(world, &["config", "check"]);
        assert_eq!(checked.code, 2, "{}", checked.err);
        assert!(checked.out.starts_with("/etc/scw-agent.toml is good\n"), "{}", checked.out);
        assert!(!checked.out.contains("50-slip.toml"), "{}", checked.out);
        let checked = agent(world, &["config", "check", "--json"]);
        let json: serde_json::Value = serde_json::from_str(&checked.out).expect("JSON");
        assert_eq!(
            (&json["problems"][0]["line"], &json["problems"][0]["suggestion"]),
            (&2.into(), &"types".into())
        );
        let shown = agent(world, &["config", "show"]);
        assert!(shown.out.contains("types = [\"ed25519\"]  # /etc/scw-agent.toml\n"), "{}", shown.out);
        daemon.terminate();
    });
}

/// The fields of /proc/PID/status.
fn proc_status(daemon: &Daemon) -> BTreeMap<String, String> {
    let text = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("read");
    text.lines()
        .filter_map(|line| line.split_once(":\t"))
        .map(|(k, v)| (k.to_owned(), v.trim().to_owned()))
        .collect()
}

#[test]
fn daemon_is_not_root_and_cannot_read_a_private_key() {
    World::builder().run(|world| {
        make_host_key(world);
        let daemon = start_daemon(world);
        let fields = proc_status(&daemon);
        let uid = world.agent_uid().to_string();
        assert_eq!(fields["Uid"].split('\t').collect::<Vec<_>>(), [&*uid; 4]);
        // Bit 10 is CAP_NET_BIND_SERVICE, bit 13 is CAP_NET_RAW.
        for set in ["CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"] {
            assert_eq!(u64::from_str_radix(&fields[set], 16), Ok(1 << 10 | 1 << 13), "{set}");
        }
        assert_eq!(fields["NoNewPrivs"], "1");
        let read = run(world.agent_command("cat").arg("/etc/ssh/ssh_host_ed25519_key"));
        assert!(read.code != 0 && read.err.contains("Permission denied"), "{}", read.err);
        daemon.terminate();
    });
}

#[test]
fn watchdog_is_not_fed_by_a_stopped_process() {
    World::builder().ipv4(Reach::Silent).ipv6(Reach::Silent).run(|world| {
        make_host_key(world);
        let notify = Notify::new(world).expect("a socket");
        let mut command = world.agent_command(AGENT);
        command.arg("daemon").env("NOTIFY_SOCKET", notify.path()).env("WATCHDOG_USEC", "400000");
        let daemon = Daemon::spawn(&mut command).expect("started");
        let watchdog_messages =
            || notify.messages().iter().filter(|message| message.contains("WATCHDOG=1")).count();
        // The metadata service is silent all the time; waiting for it does not stop the watchdog messages.
        until(world, "feeding its watchdog", || (watchdog_messages() > 5).then_some(()));
        daemon.signal(Signal::SIGSTOP);
        until(world, "stopped", || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).expect("read");
            stat.contains(") T ").then_some(())
        });
        // Earlier messages in the socket have been read when a later message is read.
        let read_all = |mark: &str| {
            let socket = UnixDatagram::unbound().expect("a socket");
            socket.send_to(mark.as_bytes(), notify.path()).expect("sent");
            assert!(notify.wait_for(mark, LONG), "the test's own message");
        };
        read_all("MARK=1");
        let before = watchdog_messages();
        std::thread::sleep(std::time::Duration::from_secs(1));
        read_all("MARK=2");
        assert_eq!(watchdog_messages(), before);
        daemon.signal(Signal::SIGCONT);
        until(world, "feeding its watchdog again", || (watchdog_messages() > before).then_some(()));
        daemon.terminate();
    });
}

#[test]
fn killed_daemon_gives_right_answers_or_clear_errors() {
    World::builder().ipv6(Reach::Absent).run(|world| {
        world.standin().set_user_data("key", "value");
        make_host_key(world);
        let (mut right, mut failed) = (0, 0);
        for kills in 0..KILLS {
            let daemon = Daemon::spawn(world.agent_command(AGENT).arg("daemon")).expect("started");
            let start_client = |_| {
                world
                    .command(userdata_program())
                    .arg("key")
                    .stdout(std::process::Stdio::piped())
                    .stderr(std::process::Stdio::piped())
                    .spawn()
                    .expect("started")
            };
            let clients: Vec<_> = (0..4).map(start_client).collect();
            std::thread::sleep(std::time::Duration::from_millis(kills % 12));
            daemon.signal(Signal::SIGKILL);
            for client in clients {
                let output = client.wait_with_output().expect("waited");
                let err = String::from_utf8_lossy(&output.stderr).into_owned();
                match output.status.code() {
                    Some(0) => {
                        assert_eq!(output.stdout, b"value");
                        right += 1;
                    }
                    // The connection ended with its daemon, and nothing was printed that looks like a value.
                    Some(5 | 6) => {
                        assert!(output.stdout.is_empty() && err.starts_with("scw-userdata: "), "{err}");
                        failed += 1;
                    }
                    other => panic!("exit code {other:?}: {err}"),
                }
            }
        }
        println!("{KILLS} daemons killed; {right} right answers, {failed} clear errors, nothing else");
        assert!(right > 0);
        let daemon = start_daemon(world);
        assert_eq!(userdata(world, &["key"]).out, "value");
        assert!(wait_until_published(world).contains("ED25519"));
        daemon.terminate();
    });
}

#[test]
fn sandbox_of_the_daemon_meets_its_threshold() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/scw-agent.service");
    let analysed = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--threshold=14", unit])
        .output()
        .expect("started");
    let text = String::from_utf8_lossy(&analysed.stdout);
    let bad: Vec<_> = text.lines().filter(|line| line.contains('✗')).collect();
    println!("{}\n{}", bad.join("\n"), text.lines().last().unwrap_or_default());
    assert!(analysed.status.success(), "{text}{}", String::from_utf8_lossy(&analysed.stderr));
}

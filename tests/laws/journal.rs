//! What the programs send to systemd: readiness, the status line, the watchdog, and the fields in the journal.

use std::fs;

use scw_stage::{Daemon, Journald, Notify, Reach, World};

use crate::machine::*;

#[test]
fn daemon_is_ready_and_reports_status_without_network() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        make_host_key(world);
        let notify = Notify::new(world).expect("a socket");
        let mut command = world.agent_command(AGENT);
        let daemon =
            Daemon::spawn(command.arg("daemon").env("NOTIFY_SOCKET", notify.path())).expect("started");
        assert!(notify.wait_for("READY=1", LONG));
        assert!(
            notify.wait_for("STATUS=metadata service unreachable since", LONG),
            "{:?}",
            notify.messages()
        );
        world.set_reach(scw_stage::Family::Ipv6, Reach::Served);
        wait_until_published(world);
        let line =
            "STATUS=metadata over IPv6; fingerprints published for daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86";
        assert!(notify.wait_for(line, LONG), "{:?}", notify.messages());
        let (status, output) = daemon.terminate();
        assert!(status.success(), "{output}");
        assert!(notify.wait_for("STOPPING=1", LONG));
    });
}

#[test]
fn the_watchdog_is_fed_while_systemd_asks_for_it() {
    World::builder().run(|world| {
        let notify = Notify::new(world).expect("a socket");
        let mut command = world.agent_command(AGENT);
        command.arg("daemon").env("NOTIFY_SOCKET", notify.path()).env("WATCHDOG_USEC", "300000");
        let daemon = Daemon::spawn(&mut command).expect("started");
        let fed = || notify.messages().iter().filter(|message| message.contains("WATCHDOG=1")).count();
        until(world, "feeding its watchdog", || (fed() >= 3).then_some(()));
        daemon.terminate();
    });
}

#[test]
fn s2_run_is_in_the_journal_with_its_fields() {
    assert!(Journald::is_there(), "systemd-journald is needed (package systemd)");
    World::builder().run(|world| {
        let journal = Journald::start(world).expect("journald");
        world.standin().set_user_data("setup-script", "#!/bin/sh\necho a line\nexit 3\n");
        assert_eq!(run(&mut logging_to_journal(world, "setup run")).code, 1);
        let entries = |matches: &[&str]| -> Vec<serde_json::Value> {
            let lines = journal.entries(world, matches).expect("read");
            lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
        };
        let of_script = ["SYSLOG_IDENTIFIER=scw-agent-setup", "SCW_SCRIPT=setup-script"];
        let messages: Vec<_> = entries(&of_script)
            .iter()
            .map(|e| e["MESSAGE"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert!(messages.contains(&"setup-script: a line".to_owned()), "{messages:?}");
        let ended = entries(&["SCW_EXIT_STATUS=3"]);
        assert_eq!(ended.len(), 1, "{messages:?}");
        assert_eq!(ended[0]["SCW_INSTANCE_ID"], "daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86");
        assert_eq!(ended[0]["PRIORITY"], "3");
    });
}

#[test]
fn second_daemon_does_not_touch_the_first_ones_socket() {
    World::builder().run(|world| {
        let first = start_daemon(world);
        let second = run(world.agent_command(AGENT).arg("daemon"));
        assert_eq!(second.code, 1);
        assert!(second.err.contains("another daemon is listening"), "{}", second.err);
        assert!(fs::exists("/run/scw-agent/api.sock").expect("checked"));
        assert_eq!(agent(world, &["status"]).err, "");
        first.terminate();
    });
}

//! The lock of the metadata service in systemd 261 and later: a `prohibit` route for every socket without a mark.

use std::fs;
use std::path::Path;

use scw_agent::doctor::{Diagnosis, Report};
use scw_stage::{Reach, World};

use crate::machine::*;

/// Runs a test in a world with IPv4 only, in which the service is locked.
fn with_locked_service(test: impl FnOnce(&World) + Send) {
    World::builder().ipv6(Reach::Absent).run(|world| {
        world.standin().set_user_data("key", "value");
        for words in
            ["rule add not fwmark 0x7fff0815 lookup 66 pref 10", "route add prohibit 169.254.42.42 table 66"]
        {
            let set = run(world.command("ip").args(words.split(' ')));
            assert_eq!(set.code, 0, "{}", set.err);
        }
        let curl = ["-s", "--local-port", "512-1023", "http://169.254.42.42/user_data/key"];
        assert_ne!(
            run(world.command("curl").args(curl)).code,
            0,
            "the lock must work, otherwise the test shows nothing"
        );
        make_host_key(world);
        test(world);
    });
}

#[test]
fn t2_the_daemon_and_root_pass_systemds_lock() {
    with_locked_service(|world| {
        assert_eq!(userdata(world, &["key"]).out, "value", "root without a daemon");
        let daemon = start_daemon(world);
        wait_until_published(world);
        wait_until_settled(world);
        assert_eq!(userdata(world, &["key"]).out, "value", "through the daemon");
        let doctor = agent(world, &["doctor"]);
        assert_eq!(doctor.code, 0, "{}", doctor.out);
        daemon.terminate();

        let mut unmarked = world.agent_command_with(AGENT, &["net_bind_service"]);
        let doctor = run(unmarked.arg("doctor"));
        assert_eq!(doctor.code, 5, "{}", doctor.out);
        assert!(doctor.out.contains("systemd 261"), "{}", doctor.out);
    });
}

#[test]
fn h1_clone_behind_systemds_lock_gets_new_keys() {
    with_locked_service(|world| {
        let key = || fs::read_to_string("/etc/ssh/ssh_host_ed25519_key.pub").expect("a key");
        let settle = || {
            let mut command = world.command("setpriv");
            command.args([
                "--bounding-set=-all,+chown,+dac_override,+fowner,+net_raw",
                "--inh-caps=-all",
                "--",
            ]);
            let settled = run(command.args([AGENT, "host-keys", "settle"]));
            assert_eq!(settled.code, 0, "{}", settled.err);
        };
        for (id, is_new) in
            [("11111111-2222-4333-8444-555555555555", false), ("22222222-3333-4444-8555-666666666666", true)]
        {
            world.reboot();
            make_host_key(world);
            let before = key();
            request_instance(world, id);
            settle();
            assert_eq!(key() != before, is_new, "{id}");
        }
    });
}

#[test]
fn t2_root_works_where_the_daemon_is_locked_out() {
    with_locked_service(|world| {
        world.standin().set_user_data("setup-script", "#!/bin/sh\necho past the lock\n");
        let daemon = start_daemon_as(world, world.agent_command_with(AGENT, &["net_bind_service"]));
        until(world, "the runner is requested", || Path::new(SETUP_REQUESTED).exists().then_some(()));
        let ran = agent(world, &["setup", "run"]);
        assert!(ran.code == 0 && ran.err.contains("past the lock"), "{}", ran.err);
        until(world, "the settle pass is requested", || Path::new(INSTANCE_SEEN).exists().then_some(()));

        for (words, printed) in [
            (&["key"][..], "value"),
            (&["key", "other"], ""),
            (&["key"], "other"),
            (&["--delete", "key"], ""),
        ] {
            let got = userdata(world, words);
            assert_eq!((got.code, &*got.out), (0, printed), "{words:?}: {}", got.err);
        }
        // The program could pass the lock, but only root sends requests itself when the daemon cannot reach the service.
        let got = run(world.agent_command(userdata_program()).arg("setup-script"));
        assert!(got.code == 5 && got.err.contains("CAP_NET_RAW"), "{} {}", got.code, got.err);

        let output = agent(world, &["doctor", "--json"]);
        let report: Report = serde_json::from_str(&output.out).expect("a report");
        assert_eq!(report.families[0].failed().and_then(|step| step.diagnosis), None::<Diagnosis>);
        assert!(report.daemon.unreachable().is_some_and(|why| why.contains("CAP_NET_RAW")), "{report:#?}");
        assert_eq!(output.code, 5, "{}", output.out);
        let output = agent(world, &["doctor"]).out;
        assert!(output.contains("✗ daemon") && output.contains("the daemon cannot reach it"), "{output}");
        let status = agent(world, &["status"]);
        assert!(status.code == 1 && status.out.contains("CAP_NET_RAW"), "{}", status.out);
        daemon.terminate();
    });
}

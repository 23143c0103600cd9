//! S3: a secret in a script or in a user data value is in no log, and in no file or process that other users than root can read.

use std::fs;

use scw_stage::{Daemon, Journald, World};

use crate::machine::*;

const IN_A_SCRIPT: &str = "hunter2-in-a-script";
const IN_A_VALUE: &str = "hunter2-in-a-value";

/// Searches the secrets as an unprivileged user, in every readable file, command line and environment. Returns the places.
fn secrets_seen_by_others(world: &World) -> String {
    // Paths that a user can guess are tried, too.
    let search = "for at in /run/scw-agent-setup/scripts/setup-script/script /run/scw-agent-setup/scripts/setup-script.2/script /run /var/lib /var/log /etc/scw-agent* /tmp/scw*; do grep -rIl '[h]unter2' $at; done 2>/dev/null; \
        for p in /proc/[0-9]*; do grep -l '[h]unter2' $p/cmdline $p/environ; done 2>/dev/null";
    let mut command = world.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", search]);
    run(&mut command).out
}

#[test]
fn s3_secret_is_in_no_log_and_hidden_from_other_users() {
    World::builder().run(|world| {
        make_host_key(world);
        let journald = Journald::start(world).expect("journald");
        let script = format!(
            "#!/bin/sh\n# scw-setup: user=somebody\nPASSWORD={IN_A_SCRIPT}\n: > /run/somebody/began\nwhile [ ! -e /run/go-on ]; do sleep 0.02; done\n"
        );
        let script_of_root = script.replace("user=somebody", "timeout=1m").replace("began", "began-2");
        run(world.command("sh").args(["-c", "echo 'somebody:x:4900:4900::/:/bin/sh' >> /etc/passwd; mkdir -m 777 /run/somebody"]));
        world.standin().set_user_data("setup-script", script);
        world.standin().set_user_data("setup-script.2", script_of_root);
        world.standin().set_user_data("password", IN_A_VALUE);
        let binary = [&[0x1f, 0x8b, 0, 255][..], IN_A_VALUE.as_bytes()].concat();
        world.standin().set_user_data("setup-script.broken", binary);

        let daemon = start_daemon(world);
        let mut runner = Daemon::spawn(&mut logging_to_journal(world, "setup run")).expect("started");
        until(world, "running as somebody", || fs::exists("/run/somebody/began").ok()?.then_some(()));
        // The processes of that user may know the secret; other users must not.
        assert_eq!(secrets_seen_by_others(world), "", "while it runs");
        fs::write("/run/go-on", "").expect("written");
        until(world, "running as root", || fs::exists("/run/somebody/began-2").ok()?.then_some(()));
        assert_eq!(userdata(world, &["password"]).out, IN_A_VALUE, "root may read the value");
        assert_eq!(secrets_seen_by_others(world), "", "while it runs as root");
        assert_eq!(runner.wait(LONG).and_then(|status| status.code()), Some(1), "one value is not a script");
        let status = agent(world, &["status", "--json"]).out + &agent(world, &["setup", "list", "--json"]).out;
        assert_eq!(secrets_seen_by_others(world), "", "afterwards");
        let (_, logged) = daemon.terminate();
        let journal = journald.entries(world, &[]).expect("read").concat();
        for (name, text) in [("the status", &status), ("the daemon's log", &logged), ("the journal", &journal)] {
            assert!(!text.contains("hunter2"), "the secret is in {name}");
        }
        assert!(journal.contains("setup-script.broken"), "the journal reports the broken script: {journal}");
        // No script remains on disk, not even readable by root.
        let remaining = run(world.command("grep").args(["-rl", "hunter2", "/var/lib/scw-agent", "/run/scw-agent-setup"])).out;
        assert_eq!(remaining, "");
    });
}

//! H3 with another SSH server: OpenSSH's host keys are published only while a unit of OpenSSH is enabled or active.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use scw_stage::World;
use serde_json::{Value, json};

use crate::machine::*;

const UNITS: &str = "/etc/systemd/system";
const LINK: &str = "/etc/systemd/system/multi-user.target.wants/ssh.service";

/// Runs a test in a world that looks as if systemd ran in it, with a unit of OpenSSH that is not enabled.
fn with_systemd(test: impl FnOnce(&World) + Send) {
    World::builder().run(|world| {
        // Hides the machine's own units and control groups.
        for folder in [UNITS, "/sys/fs/cgroup"] {
            let mounted = run(world.command("mount").args(["-t", "tmpfs", "tmpfs", folder]));
            assert_eq!(mounted.code, 0, "{}", mounted.err);
        }
        fs::create_dir_all("/run/systemd/system").expect("made");
        fs::create_dir_all(Path::new(LINK).parent().expect("a folder")).expect("made");
        let unit = "[Service]\nExecStart=/usr/sbin/sshd -D\n";
        fs::write(format!("{UNITS}/ssh.service"), unit).expect("written");
        make_host_key(world);
        test(world);
    });
}

fn status(world: &World) -> Value {
    serde_json::from_str(&agent(world, &["status", "--json"]).out).unwrap_or_default()
}

/// Waits until the daemon has done everything that it does without an enabled server.
fn wait_until_nothing_to_publish(world: &World) {
    until(world, "without work", || {
        let status = status(world);
        let is_settled = status["ssh_server"] == json!({"state": "not-enabled"})
            && status["fingerprints"] == json!({"state": "waiting"})
            && status["has_scripts"] == json!(false);
        is_settled.then_some(())
    });
}

#[test]
fn h3_without_an_openssh_server_nothing_is_published() {
    with_systemd(|world| {
        let daemon = start_daemon(world);
        wait_until_nothing_to_publish(world);
        let output = agent(world, &["status", "--wait"]);
        assert_eq!(output.code, 0, "a normal state: {}{}", output.out, output.err);
        assert!(output.out.contains("… fingerprints  no OpenSSH server is enabled"), "{}", output.out);
        let output = agent(world, &["host-keys", "show"]);
        assert!(
            output.code == 0
                && output.out.contains("… not served")
                && output.out.contains("no OpenSSH server")
        );
        for command in ["known-hosts", "sshfp"] {
            let output = agent(world, &["host-keys", command]);
            assert!((output.code, &*output.out) == (3, ""), "{command}: {} {}", output.code, output.out);
        }
        let asked = request_lines(world);
        assert!(asked.iter().all(|line| line.starts_with("GET ")), "{asked:?}");

        symlink("../ssh.service", LINK).expect("enabled");
        let value = wait_until_published(world);
        until(world, "shown as published", || has_been_published(&status(world)).then_some(()));
        fs::remove_file(LINK).expect("disabled");
        until(world, "deleted", || world.standin().user_data(FINGERPRINTS).is_none().then_some(()));
        wait_until_nothing_to_publish(world);
        daemon.terminate();

        // A value that an earlier daemon published.
        world.standin().set_user_data(FINGERPRINTS, &*value);
        let daemon = start_daemon(world);
        until(world, "deleted", || world.standin().user_data(FINGERPRINTS).is_none().then_some(()));
        daemon.terminate();
    });
}

#[test]
fn h4_server_that_is_only_started_is_published_by_a_check() {
    with_systemd(|world| {
        let daemon = start_daemon(world);
        wait_until_nothing_to_publish(world);
        // No file that the daemon watches changes, and nobody asks for the status. The next check reads systemd's links.
        fs::create_dir_all("/run/systemd/units").expect("made");
        symlink("0123456789abcdef0123456789abcdef", "/run/systemd/units/invocation:ssh.service")
            .expect("active");
        wait_until_published(world);
        daemon.terminate();
    });
}

#[test]
fn h3_value_of_another_server_is_kept() {
    with_systemd(|world| {
        let other = "256 SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA root@x (ED25519)";
        world.standin().set_user_data(FINGERPRINTS, other);
        let daemon = start_daemon(world);
        wait_until_nothing_to_publish(world);
        assert_eq!(world.standin().user_data(FINGERPRINTS), Some(other.as_bytes().to_vec()));
        daemon.terminate();
    });
}

#[test]
fn h3_no_keys_and_no_server_is_a_normal_state() {
    with_systemd(|world| {
        for entry in fs::read_dir("/etc/ssh").expect("listed").flatten() {
            if entry.file_name().to_string_lossy().starts_with("ssh_host_") {
                fs::remove_file(entry.path()).expect("removed");
            }
        }
        let daemon = start_daemon(world);
        wait_until_nothing_to_publish(world);
        for words in [&["status"][..], &["host-keys", "show"]] {
            let output = agent(world, words);
            assert!(
                output.code == 0 && output.out.contains("no OpenSSH server"),
                "{} {}",
                output.code,
                output.out
            );
        }
        daemon.terminate();
    });
}

//! H3 beside another SSH server: OpenSSH's host keys are published while a unit of OpenSSH is enabled or active, and never otherwise.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use scw_stage::World;
use serde_json::{Value, json};

use crate::machine::*;

const UNITS: &str = "/etc/systemd/system";
const LINK: &str = "/etc/systemd/system/multi-user.target.wants/ssh.service";

/// A world that looks as if systemd ran in it, with a unit of OpenSSH that is not enabled.
fn with_systemd(test: impl FnOnce(&World) + Send) {
    World::builder().run(|world| {
        // The machine's own units and control groups are out of sight.
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

/// Waits until the daemon has done all it does where no server is enabled.
fn nothing_left(world: &World) {
    until(world, "nothing is left to do", || {
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
        nothing_left(world);
        let said = agent(world, &["status", "--wait"]);
        assert_eq!(said.code, 0, "a normal state: {}{}", said.out, said.err);
        assert!(said.out.contains("… fingerprints  no OpenSSH server is enabled"), "{}", said.out);
        let said = agent(world, &["host-keys", "show"]);
        assert!(
            said.code == 0 && said.out.contains("… not served") && said.out.contains("no OpenSSH server")
        );
        for command in ["known-hosts", "sshfp"] {
            let said = agent(world, &["host-keys", command]);
            assert!((said.code, &*said.out) == (3, ""), "{command}: {} {}", said.code, said.out);
        }
        let asked = asked(world);
        assert!(asked.iter().all(|line| line.starts_with("GET ")), "{asked:?}");

        symlink("../ssh.service", LINK).expect("enabled");
        let value = published(world);
        until(world, "told", || (status(world)["fingerprints"]["state"] == "published").then_some(()));
        fs::remove_file(LINK).expect("disabled");
        until(world, "deleted", || world.standin().user_data(FINGERPRINTS).is_none().then_some(()));
        nothing_left(world);
        daemon.terminate();

        // What an earlier life of the daemon published.
        world.standin().set_user_data(FINGERPRINTS, &*value);
        let daemon = start_daemon(world);
        until(world, "deleted", || world.standin().user_data(FINGERPRINTS).is_none().then_some(()));
        daemon.terminate();
    });
}

#[test]
fn h3_value_of_another_server_is_kept() {
    with_systemd(|world| {
        let other = "256 SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA root@x (ED25519)";
        world.standin().set_user_data(FINGERPRINTS, other);
        let daemon = start_daemon(world);
        nothing_left(world);
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
        nothing_left(world);
        for words in [&["status"][..], &["host-keys", "show"]] {
            let said = agent(world, words);
            assert!(said.code == 0 && said.out.contains("no OpenSSH server"), "{} {}", said.code, said.out);
        }
        daemon.terminate();
    });
}

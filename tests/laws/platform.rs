//! P1: the agent trusts the metadata service only on a Scaleway Instance. On other machines it sends no request, runs no script,
//! replaces no key, and reports this as a normal state.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use scw_stage::World;

use crate::machine::*;

const SCRIPT: &str = "#!/bin/sh\ntouch /var/log/ran\n";
const RAN: &str = "/var/log/ran";
const RECORD: &str = "/var/lib/scw-agent/instance.json";
/// A configuration that trusts any machine.
const ANY: &str = "[host-keys]\ntypes = [\"ed25519\"]\n[platform]\nvendor = \"\"\n";

fn public_key() -> String {
    fs::read_to_string("/etc/ssh/ssh_host_ed25519_key.pub").expect("a key")
}

#[track_caller]
fn assert_no_request(world: &World) {
    assert_eq!(request_lines(world), Vec::<String>::new());
    assert_eq!(world.standin().connections().len(), 0, "not even a connection");
}

#[test]
fn p1_no_request_or_script_on_other_machines() {
    World::builder().run(|world| {
        for key in ["setup-script", "startup-script", "shutdown-script"] {
            world.standin().set_user_data(key, SCRIPT);
        }
        world.set_dmi(Some("QEMU"), None);
        // The disk of an Instance that was booted on another machine: its identity record, and a request of the daemon to check the Instance.
        make_host_key(world);
        let first = public_key();
        let record = r#"{"version":1,"instance":"11111111-2222-4333-8444-555555555555","dmi_names_instance":false,"recorded":"2026-01-01T00:00:00.000Z"}"#;
        fs::write(RECORD, record).expect("written");
        let daemon = start_daemon(world);
        fs::write(INSTANCE_SEEN, "daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86").expect("written");

        let why = "not a Scaleway Instance";
        for (words, code) in [
            (&["host-keys", "ensure"][..], 0),
            (&["host-keys", "settle"], 0),
            (&["setup", "run"], 0),
            (&["setup", "run", "--again"], 0),
            (&["setup", "run", "setup-script"], 5),
            (&["status"], 0),
            (&["status", "--json"], 0),
            (&["status", "--wait"], 0),
            (&["doctor"], 0),
            (&["doctor", "--json"], 0),
        ] {
            let ended = agent(world, words);
            assert_eq!(ended.code, code, "{words:?}: {} {}", ended.out, ended.err);
            assert!(format!("{}{}", ended.out, ended.err).contains(why), "{words:?}: {} {}", ended.out, ended.err);
        }
        for words in [&[][..], &["setup-script"], &["colour", "blue"], &["--delete", "setup-script"]] {
            let through_daemon = userdata(world, words);
            assert_eq!(through_daemon.code, 5, "{words:?}");
            assert!(through_daemon.err.contains(why), "{}", through_daemon.err);
        }
        let status: serde_json::Value =
            serde_json::from_str(&agent(world, &["status", "--json"]).out).expect("JSON");
        assert_eq!(status["platform"]["state"], "not-an-instance");
        assert_eq!(status["problems"], serde_json::json!([]));
        assert!(!status["host_keys"].as_array().expect("a list").is_empty(), "the host keys are shown: {status}");
        daemon.terminate();
        assert_eq!(userdata(world, &["setup-script"]).code, 5, "also without the daemon");
        assert_no_request(world);
        assert!(!Path::new(RAN).exists(), "no script ran");
        assert_eq!(public_key(), first, "no key is replaced");
        assert_eq!(fs::read_to_string(RECORD).expect("kept"), record, "the identity record stays");
        assert!(!Path::new("/run/scw-agent-setup/summary.json").exists());

        fs::remove_file("/etc/ssh/ssh_host_ed25519_key").expect("removed");
        assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
        assert!(Path::new("/etc/ssh/ssh_host_ed25519_key").exists(), "a missing key is still made");
    });
}

#[test]
fn p1_vendor_or_command_line_marks_an_instance() {
    World::builder().run(|world| {
        world.standin().set_user_data("colour", "blue");
        let setting = |vendor: &str| format!("[platform]\nvendor = \"{vendor}\"\n");
        let (none, qemu, any) = (String::new(), setting("QEMU"), setting(""));
        for (dmi, command_line, configuration, trusted) in [
            (Some("Scaleway"), "quiet", &none, true),
            (None, "quiet", &none, false),
            (Some("QEMU"), "quiet", &none, false),
            (Some("Scaleway Inc."), "quiet", &none, false),
            (Some("QEMU"), "quiet scaleway ro", &none, true),
            (None, "scaleway", &none, true),
            (None, "host=scaleway scaleway.x=1", &none, false),
            (Some("QEMU"), "quiet", &qemu, true),
            (Some("Scaleway"), "quiet", &qemu, false),
            (None, "quiet", &any, true),
            // A file with a mistake is ignored completely: it must not make the agent trust the machine.
            (None, "quiet", &format!("{any}vendro = \"x\"\n"), false),
        ] {
            world.set_dmi(dmi, None);
            fs::write("/run/stage/cmdline", format!("{command_line}\n")).expect("written");
            let bound = run(world.command("mount").args(["--bind", "/run/stage/cmdline", "/proc/cmdline"]));
            assert_eq!(bound.code, 0, "{}", bound.err);
            fs::write("/etc/scw-agent.toml", configuration).expect("written");
            world.standin().clear_requests();
            let ended = userdata(world, &["colour"]);
            let case = format!("{dmi:?} {command_line:?} {configuration:?}: {}", ended.err);
            assert_eq!(ended.code, if trusted { 0 } else { 5 }, "{case}");
            assert_eq!(request_lines(world).is_empty(), !trusted, "{case}");
        }
    });
}

#[test]
fn p1_reload_changes_the_platform() {
    World::builder().run(|world| {
        world.set_dmi(None, None);
        make_host_key(world);
        let daemon = start_daemon(world);
        let state = || -> Option<String> {
            let status: serde_json::Value =
                serde_json::from_str(&agent(world, &["status", "--json"]).out).ok()?;
            Some(status["platform"]["state"].as_str()?.to_owned())
        };
        assert_eq!(state().as_deref(), Some("not-an-instance"));
        fs::write("/etc/scw-agent.toml", ANY).expect("written");
        daemon.signal(Signal::SIGHUP);
        wait_until_published(world);
        assert_eq!(state().as_deref(), Some("instance"));

        // And back: from now on no request is sent.
        one_key_type();
        daemon.signal(Signal::SIGHUP);
        until(world, "not an Instance", || (state()? == "not-an-instance").then_some(()));
        world.standin().clear_requests();
        assert_eq!(userdata(world, &["colour"]).code, 5);
        assert_eq!(request_lines(world), Vec::<String>::new());
        daemon.terminate();
    });
}

//! The user data key `cloud-init`. Where cloud-init is active, the agent never reads the key. Elsewhere its scripts run as setup scripts.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use scw_stage::World;

use crate::machine::*;

const KEY: &str = "cloud-init";
const ASKED: &str = "GET /user_data/cloud-init";

/// Packs with the machine's `gzip` program.
fn zipped(world: &World, bytes: &[u8]) -> Vec<u8> {
    let mut command = world.command("gzip");
    let mut gzip = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("started");
    gzip.stdin.take().expect("its input").write_all(bytes).expect("written");
    gzip.wait_with_output().expect("ended").stdout
}

/// A MIME message with these parts: headers and body of each.
fn message(parts: &[(&str, &str)]) -> String {
    let parts = parts.iter().map(|(headers, body)| format!("--=b\n{headers}\n{body}\n")).collect::<String>();
    format!("Content-Type: multipart/mixed; boundary=\"=b\"\nMIME-Version: 1.0\n\n{parts}--=b--\n")
}

#[test]
fn without_active_cloud_init_its_scripts_run_once() {
    World::builder().run(|world| {
        let parts = message(&[
            ("Content-Type: text/x-shellscript; name=b.sh\n", &script_writing("first")),
            ("Content-Type: text/cloud-config\n", "#cloud-config\nusers: []"),
            ("Content-Type: text/x-shellscript; name=a.sh\n", &script_writing("second")),
            ("Content-Type: text/x-shellscript-per-boot\n", &script_writing("every-boot")),
        ]);
        let plain = script_writing("plain");
        for (what, value, first_boot, second_boot) in [
            ("a script", plain.clone().into_bytes(), "plain", ""),
            ("gzip", zipped(world, script_writing("zipped").as_bytes()), "zipped", ""),
            ("a message", parts.clone().into_bytes(), "first second every-boot", "every-boot"),
            (
                "a message in gzip",
                zipped(world, message(&[("", &script_writing("inside"))]).as_bytes()),
                "inside",
                "",
            ),
        ] {
            world.standin().set_user_data(KEY, value);
            for (boot, expected) in [("first", first_boot), ("second", second_boot)] {
                let _ = fs::remove_file(WORDS);
                let ran = agent(world, &["setup", "run"]);
                assert_eq!((ran.code, &*written_words()), (0, expected), "{what}, {boot} boot: {}", ran.err);
                world.reboot();
            }
        }
        let listed = agent(world, &["setup", "list"]).out;
        for name in ["cloud-init ", "cloud-init.b.sh ", "cloud-init.a.sh ", "cloud-init.part-004 "] {
            assert!(listed.lines().any(|line| line.starts_with(name)), "{name}: {listed}");
        }
    });
}

#[test]
fn cloud_init_script_alone_can_be_deleted_after_success() {
    World::builder().run(|world| {
        let script = script_writing("secret").replace('\n', "\n# scw-setup: delete-after-success\n");
        world.standin().set_user_data(KEY, script.clone());
        let ran = agent(world, &["setup", "run"]);
        assert_eq!((ran.code, &*written_words()), (0, "secret"), "{}", ran.err);
        assert_eq!(world.standin().user_data(KEY), None);
        // The value is packed here, so its bytes differ from the script's.
        world.standin().set_user_data(KEY, zipped(world, format!("{script}# packed\n").as_bytes()));
        let ran = agent(world, &["setup", "run", KEY]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(world.standin().user_data(KEY), None);
    });
}

#[test]
fn cloud_config_is_reported_by_name_and_is_no_failure() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", script_writing("setup"));
        for (value, name) in [
            ("#cloud-config\npassword: planted-secret\n".to_owned(), "cloud-init: #cloud-config"),
            ("#include\nhttp://example.com/planted-secret\n".to_owned(), "cloud-init: #include"),
            ("## template: jinja\n#!/bin/sh\n".to_owned(), "cloud-init: ## template: jinja"),
            (
                message(&[("Content-Type: text/cloud-boothook; name=hook\n", "#!/bin/sh\n# planted-secret")]),
                "cloud-init.hook: text/cloud-boothook",
            ),
        ] {
            world.standin().set_user_data(KEY, value);
            let ran = agent(world, &["setup", "run"]);
            assert_eq!((ran.code, &*written_words()), (0, "setup"), "{}", ran.err);
            let daemon = start_daemon(world);
            let status = agent(world, &["status"]).out;
            let (_, logged) = daemon.terminate();
            let row = status.lines().find(|line| line.contains(name)).expect(&status);
            assert!(row.starts_with('…') && row.contains("not run"), "{row}");
            assert!(ran.err.contains(name), "{}", ran.err);
            for text in [&ran.err, &status, &logged] {
                assert!(!text.contains("planted-secret"), "{text}");
            }
            world.reboot();
        }
    });
}

#[test]
fn s5_unreadable_cloud_init_value_stops_no_other_script() {
    World::builder().run(|world| {
        let complete = message(&[("", &script_writing("part"))]);
        let cut_off = complete.strip_suffix("--=b--\n").expect("its end");
        let bomb = zipped(world, &vec![b'\n'; 17 << 20]);
        for (value, why) in [
            (b"\x1f\x8b\x08 damaged".to_vec(), "gzip data are damaged"),
            (cut_off.as_bytes().to_vec(), "cut off"),
            (bomb, "larger than 16 MiB"),
            (message(&[("Content-Transfer-Encoding: base64\n", "?")]).into_bytes(), "is declared as base64"),
            (b"#!/bin/sh\r\necho\r\n".to_vec(), "CRLF"),
            (
                message(&[("", "#!/bin/sh\n# scw-setup: delete-after-success\n")]).into_bytes(),
                "its key contains the other parts",
            ),
        ] {
            let _ = fs::remove_file(WORDS);
            world.standin().set_user_data(KEY, value);
            world.standin().set_user_data("startup-script", script_writing("startup"));
            let ran = agent(world, &["setup", "run"]);
            assert_eq!((ran.code, &*written_words()), (1, "startup"), "{}", ran.err);
            assert!(ran.err.contains(why), "{}", ran.err);
            world.reboot();
        }
    });
}

#[test]
fn with_active_cloud_init_its_key_is_never_fetched() {
    World::builder().with_cloud_init().run(|world| {
        world.standin().set_user_data(KEY, script_writing("ours"));
        let boot = |signs: &[&str]| {
            world.reboot();
            for sign in signs {
                fs::create_dir_all(std::path::Path::new(sign).parent().expect("a folder")).expect("made");
                fs::write(sign, "").expect("written");
            }
            world.standin().clear_requests();
            let daemon = start_daemon(world);
            wait_until_keys_are_known(world);
            let is_requested = fs::exists(SETUP_REQUESTED).expect("checked");
            assert_eq!(agent(world, &["setup", "run"]).code, 0);
            daemon.terminate();
            (is_requested, request_lines(world).iter().any(|line| line == ASKED), written_words())
        };
        let not_read = (false, false, String::new());
        assert_eq!(boot(&[]), not_read, "cloud-init is installed");
        assert_eq!(boot(&["/run/cloud-init/enabled"]), not_read, "its generator enabled it");
        let disabled = "/etc/cloud/cloud-init.disabled";
        assert_eq!(
            boot(&["/run/cloud-init/enabled", disabled]),
            not_read,
            "disabled, but active in this boot"
        );
        assert_eq!(boot(&[disabled]), (true, true, "ours".to_owned()), "an administrator disabled it");
        fs::remove_file(disabled).expect("removed");
        world.standin().set_user_data(KEY, script_writing("again"));
        assert_eq!(
            boot(&["/run/cloud-init/disabled"]),
            (true, true, "ours again".to_owned()),
            "its generator disabled it"
        );
    });
}

/// Waits until the daemon knows the user data keys.
fn wait_until_keys_are_known(world: &World) {
    until(world, "aware of the keys", || {
        let status = agent(world, &["status", "--json"]).out;
        let status: serde_json::Value = serde_json::from_str(&status).ok()?;
        (!status["has_scripts"].is_null()).then_some(())
    });
}

#[test]
fn message_from_cloud_init_make_mime_is_understood() {
    World::builder().with_cloud_init().run(|world| {
        fs::write("/root/one.sh", script_writing("one")).expect("written");
        fs::write(
            "/root/zwei.sh",
            format!("{}# ä, and = and a long line {}\n", script_writing("two"), "x".repeat(2000)),
        )
        .expect("written");
        fs::write("/root/config", "#cloud-config\nusers: []\n").expect("written");
        let mut command = world.command("cloud-init");
        command.args([
            "devel",
            "make-mime",
            "-a",
            "/root/one.sh:x-shellscript",
            "-a",
            "/root/config:cloud-config",
        ]);
        let made = run(command.args(["-a", "/root/zwei.sh:x-shellscript"]));
        assert_eq!(made.code, 0, "{}", made.err);
        fs::create_dir_all("/run/cloud-init").expect("made");
        fs::write("/run/cloud-init/disabled", "").expect("written");
        world.standin().set_user_data(KEY, made.out);
        let ran = agent(world, &["setup", "run"]);
        assert_eq!((ran.code, &*written_words()), (0, "one two"), "{}", ran.err);
        for name in ["cloud-init.one.sh", "cloud-init.zwei.sh", "cloud-init.config: text/cloud-config"] {
            assert!(ran.err.contains(name), "{name}: {}", ran.err);
        }
    });
}

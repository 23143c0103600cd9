//! The commands for people: `show`, `verify`, `doctor`, `write`.

use std::fs;
use std::time::Duration;

use crate::desk::*;

#[test]
fn show_prints_what_is_published() {
    at_desk(|desk| {
        let value = desk.world.standin().user_data(FINGERPRINTS).expect("published");
        let value = String::from_utf8(value).expect("text");
        for host in [ADDRESS, NAME, ID] {
            let text = desk.client_ok(&["show", host]);
            assert!(text.starts_with(&format!("{NAME} (Instance {ID}, nl-ams-1), {ADDRESS}")), "{text}");
            for fingerprint in value.split_whitespace().filter(|word| word.starts_with("SHA256:")) {
                assert!(text.contains(fingerprint), "{text}");
            }
        }
        let json: serde_json::Value =
            serde_json::from_str(&desk.client_ok(&["show", "--json", NAME])).expect("JSON");
        assert_eq!((&json["instance"]["id"], &json["instance"]["name"]), (&ID.into(), &NAME.into()));
        assert_eq!(json["published"].as_array().map(Vec::len), Some(value.lines().count()));
    });
}

#[test]
fn show_waits_until_something_is_published() {
    at_desk(|desk| {
        desk.world.standin().delete_user_data(FINGERPRINTS);
        let ran = desk.client(&["show", NAME]);
        assert!(ran.code == 3 && ran.err.contains("has published no fingerprints"), "{ran:?}");
        let mut waiting = desk.command(CLIENT);
        let waiting = waiting.args(["show", "--wait", "5m", NAME]).stdout(std::process::Stdio::piped());
        desk.world.standin().clear_requests();
        let child = waiting.spawn().expect("started");
        let is_asked = |requests: &[scw_standin::Request]| {
            requests
                .iter()
                .any(|request| request.target.ends_with(FINGERPRINTS) && request.status == Some(404))
        };
        assert!(desk.world.standin().wait_for(Duration::from_secs(300), is_asked));
        desk.publish();
        let output = child.wait_with_output().expect("ended");
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("SHA256:"));
    });
}

#[test]
fn failures_have_their_exit_codes() {
    at_desk(|desk| {
        for (name, value, host, code) in [
            ("SCW_SECRET_KEY", "hunter2", NAME, 4),
            ("SCW_SECRET_KEY", POWERLESS, NAME, 4),
            ("SCW_SECRET_KEY", EXPIRED, NAME, 4),
            ("SCW_API_URL", "https://169.254.42.42:9", NAME, 5),
            ("SCW_API_URL", "http://169.254.42.42", NAME, 4),
            ("SSL_CERT_FILE", "/etc/hosts", NAME, 5),
            ("UNUSED", "", "no-such-instance", 3),
            ("UNUSED", "", OTHER_ADDRESS, 3),
            ("UNUSED", "", "11111111-0000-4000-8000-000000000000", 3),
        ] {
            let old = desk.variables.insert(name, value.to_owned());
            let ran = desk.client(&["show", host]);
            assert_eq!(ran.code, code, "{name}={value}: {ran:?}");
            assert!(!ran.err.contains("hunter2") && ran.out.is_empty(), "{ran:?}");
            match old {
                Some(old) => desk.variables.insert(name, old),
                None => desk.variables.remove(name),
            };
        }
        for arguments in
            [&["show"][..], &["nonsense"], &["check", "HOSTNAME"], &["show", "--wait", "soon", NAME]]
        {
            assert_eq!(desk.client(arguments).code, 2, "{arguments:?}");
        }
        for command in [
            &[][..],
            &["setup"],
            &["show"],
            &["verify"],
            &["doctor"],
            &["write"],
            &["check"],
            &["completions"],
        ] {
            let help = desk.client_ok(&[command, &["--help"]].concat());
            assert!(help.contains("Usage:"), "{help}");
        }
    });
}

#[test]
fn verify_compares_offered_and_published_keys() {
    at_desk(|desk| {
        let text = desk.client_ok(&["verify", ADDRESS]);
        assert_eq!(text.matches("offered and published").count(), key_files("pub").len(), "{text}");
        desk.publish_another();
        let ran = desk.client(&["verify", "--json", NAME]);
        assert!(ran.code == 1 && ran.err.contains("do not connect"), "{ran:?}");
        let json: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
        let keys = json["keys"].as_array().expect("a list");
        assert_eq!(
            keys.iter().filter(|key| key["offered"] == true && key["published"] == false).count(),
            key_files("pub").len()
        );
        assert_eq!(keys.iter().filter(|key| key["offered"] == false).count(), 1);
    });
}

#[test]
fn doctor_names_what_is_wrong() {
    at_desk(|desk| {
        let ran = desk.client(&["doctor"]);
        assert!(ran.code == 1 && ran.out.contains("run `scw-known-hosts setup`"), "{ran:?}");
        desk.client_ok(&["setup"]);
        let text = desk.client_ok(&["doctor"]);
        assert!(text.lines().all(|line| line.starts_with("ok ")), "{text}");
        assert_eq!(desk.client(&["doctor", ADDRESS]).code, 0);
        desk.configure("KnownHostsCommand /bin/true\n");
        let ran = desk.client(&["doctor"]);
        assert!(ran.code == 1 && ran.out.contains("another program"), "{ran:?}");
        desk.variables.insert("SCW_SECRET_KEY", POWERLESS.to_owned());
        let ran = desk.client(&["doctor"]);
        assert!(
            ran.code == 4 && ran.out.contains("PROBLEM  nl-ams-1: the API key lacks a permission"),
            "{ran:?}"
        );
    });
}

#[test]
fn write_adds_published_keys_of_all_types() {
    at_desk(|desk| {
        fs::create_dir_all("/root/.ssh").expect("made");
        fs::write("/root/.ssh/known_hosts", "github.com ssh-ed25519 AAAA\n").expect("written");
        desk.client_ok(&["write", ADDRESS]);
        let file = fs::read_to_string("/root/.ssh/known_hosts").expect("the file");
        assert!(file.starts_with("github.com ssh-ed25519 AAAA\n# scw-known-hosts: begin"), "{file}");
        let lines: Vec<_> = file.lines().filter(|line| line.ends_with(&format!(" scw:{ID}"))).collect();
        assert_eq!(lines.len(), key_files("pub").len(), "{file}");
        let name = format!("{ADDRESS},{ID}.pub.instances.scw.cloud ");
        assert!(lines.iter().all(|line| line.starts_with(&name)), "{file}");
        // ssh accepts it without the client.
        for kind in ["ssh-ed25519", "rsa-sha2-512", "ecdsa-sha2-nistp256"] {
            // With these algorithms, ssh itself would remove the other keys.
            let options =
                ["StrictHostKeyChecking=yes", "UpdateHostKeys=no", &format!("HostKeyAlgorithms={kind}")];
            let (is_in, err) = desk.is_in(&options, ADDRESS);
            assert!(is_in, "{kind}: {err}");
        }
        desk.publish_another();
        let ran = desk.client(&["write", ADDRESS]);
        assert!(ran.code == 1 && ran.err.contains("nothing is written for it"), "{ran:?}");
        assert_eq!(fs::read_to_string("/root/.ssh/known_hosts").expect("the file"), file);
    });
}

#[test]
fn two_runs_of_write_lose_nothing() {
    at_desk(|desk| {
        let file = "/root/hosts";
        fs::write(file, "first line\n").expect("written");
        let start = |index: u8| {
            let host = if index % 2 == 0 { ADDRESS } else { NAME };
            desk.command(CLIENT).args(["write", "--file", file, host]).spawn().expect("started")
        };
        let children: Vec<_> = (0..6).map(start).collect();
        for child in children {
            assert!(child.wait_with_output().expect("ended").status.success());
        }
        let text = fs::read_to_string(file).expect("the file");
        assert!(text.starts_with("first line\n"), "{text}");
        assert_eq!(text.matches(&format!("scw:{ID}\n")).count(), key_files("pub").len(), "{text}");
    });
}

#[test]
fn write_keeps_all_names_of_an_instance() {
    at_desk(|desk| {
        resolve(&[(ADDRESS, "www.example.com"), (ADDRESS, "db.example.com")]);
        let file = "/root/hosts";
        desk.client_ok(&["write", "--file", file, "www.example.com", ADDRESS]);
        desk.client_ok(&["write", "--file", file, "db.example.com"]);
        let text = fs::read_to_string(file).expect("the file");
        let line = text.lines().find(|line| line.contains("ssh-ed25519")).expect("a line");
        for name in ["www.example.com", "db.example.com", ADDRESS] {
            assert!(line.contains(name), "{line}");
        }
        assert_eq!(text.matches(&format!(" scw:{ID}\n")).count(), key_files("pub").len(), "{text}");
    });
}

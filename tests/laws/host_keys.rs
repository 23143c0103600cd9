//! H1 to H4: missing host keys are made, and the published value matches what sshd serves.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use scw_stage::{Daemon, Reach, Sshd, World, consumers};
use scw_standin::{Fault, Order};

use crate::machine::*;

/// The fingerprints of the public keys in this file, computed by `ssh-keygen`.
fn fingerprints_of(world: &World, file: &str) -> BTreeSet<String> {
    let listed = run(world.command("ssh-keygen").args(["-lf", file]));
    assert_eq!(listed.code, 0, "{}", listed.err);
    listed.out.lines().map(|line| line.split(' ').nth(1).expect("a fingerprint").to_owned()).collect()
}

#[test]
fn h1_missing_keys_are_made_once_and_good_ones_are_kept() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        let made = agent(world, &["host-keys", "ensure"]);
        assert_eq!(made.code, 0, "{}", made.err);
        assert!(made.err.contains("made ecdsa, ed25519, rsa"), "{}", made.err);
        let files = || -> Vec<_> {
            let names = ["ecdsa", "ed25519", "rsa"].map(|name| format!("/etc/ssh/ssh_host_{name}_key"));
            names.iter().flat_map(|name| [name.clone(), format!("{name}.pub")]).collect()
        };
        let state = || -> Vec<_> {
            let look = |path: &String| (fs::read(path).expect(path), fs::metadata(path).expect(path).ino());
            files().iter().map(look).collect()
        };
        for file in files() {
            let mode = fs::metadata(&file).expect("there").permissions().mode() & 0o777;
            assert_eq!(mode, if file.ends_with(".pub") { 0o644 } else { 0o600 }, "{file}");
        }
        let hidden = fs::read_dir("/etc/ssh").expect("listed").flatten();
        assert!(
            hidden.into_iter().all(|entry| !entry.file_name().to_string_lossy().starts_with('.')),
            "a temporary folder remains"
        );

        let before = state();
        let again = agent(world, &["host-keys", "ensure"]);
        assert!(
            again.err.contains("kept ecdsa, ed25519, rsa") && !again.err.contains("made"),
            "{}",
            again.err
        );
        assert_eq!(state(), before);
    });
}

#[test]
fn h1_empty_key_is_made_and_lost_public_key_is_derived() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        make_host_key(world);
        let private = fs::read("/etc/ssh/ssh_host_ed25519_key").expect("read");
        let fingerprint = fingerprints_of(world, "/etc/ssh/ssh_host_ed25519_key.pub");

        fs::write("/etc/ssh/ssh_host_ed25519_key.pub", "garbage").expect("written");
        let fixed = agent(world, &["host-keys", "ensure"]);
        assert!(fixed.code == 0 && fixed.err.contains("its public key was derived again"), "{}", fixed.err);
        assert_eq!(fs::read("/etc/ssh/ssh_host_ed25519_key").expect("read"), private);
        assert_eq!(fingerprints_of(world, "/etc/ssh/ssh_host_ed25519_key.pub"), fingerprint);

        fs::write("/etc/ssh/ssh_host_ed25519_key", "").expect("emptied, as by a power cut");
        let made = agent(world, &["host-keys", "ensure"]);
        assert!(made.code == 0 && made.err.contains("made ed25519"), "{}", made.err);
        assert_ne!(fingerprints_of(world, "/etc/ssh/ssh_host_ed25519_key.pub"), fingerprint);
    });
}

#[test]
fn h2_leftovers_of_an_interrupted_run_are_removed() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        fs::create_dir("/etc/ssh/.scw-agent-new.0badcafe").expect("made");
        fs::write("/etc/ssh/.scw-agent-new.0badcafe/ssh_host_ed25519_key", "half a key").expect("written");
        make_host_key(world);
        assert!(!Path::new("/etc/ssh/.scw-agent-new.0badcafe").exists());
    });
}

#[test]
fn keys_are_made_with_a_broken_configuration_file() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        fs::write("/etc/scw-agent.toml", "[host-keys]\ntipes = []\n").expect("written");
        let made = agent(world, &["host-keys", "ensure"]);
        assert_eq!(made.code, 0, "{}", made.err);
        assert!(made.err.contains("line 2") && made.err.contains("tipes"), "{}", made.err);
        assert!(Path::new("/etc/ssh/ssh_host_rsa_key").exists());
    });
}

#[test]
fn h3_published_value_lets_a_client_check_sshd() {
    World::builder().with_sshd().run(|world| {
        assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
        let sshd = Sshd::start(world).expect("sshd");
        let daemon = start_daemon(world);
        let published = consumers::read_strictly(&wait_until_published(world));

        let scanned = run(&mut sshd.keyscan(world));
        fs::write("/run/scanned", &scanned.out).expect("written");
        assert_eq!(fingerprints_of(world, "/run/scanned"), published);
        assert_eq!(published.len(), 3);

        // A user's known_hosts: of the keys that sshd offers, only those whose fingerprints are published.
        let matching: String = scanned
            .out
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                fs::write("/run/one", line).expect("written");
                if fingerprints_of(world, "/run/one").is_subset(&published) {
                    format!("{line}\n")
                } else {
                    String::new()
                }
            })
            .collect();
        fs::write("/run/known_hosts", matching).expect("written");
        let hello = run(sshd.ssh(world, Path::new("/run/known_hosts")).args(["echo", "hello"]));
        assert_eq!((hello.code, &*hello.out), (0, "hello\n"), "{}", hello.err);

        // Without a known key the client refuses the connection, so the check above is meaningful.
        fs::write("/run/known_hosts", "").expect("written");
        assert_ne!(run(sshd.ssh(world, Path::new("/run/known_hosts")).args(["echo", "hello"])).code, 0);
        daemon.terminate();
    });
}

#[test]
fn h4_daemon_writes_only_when_the_value_differs() {
    World::builder().run(|world| {
        make_host_key(world);
        let daemon = start_daemon(world);
        let value = wait_until_published(world);
        wait_until_settled(world);
        daemon.terminate();
        let writes =
            |world: &World| request_lines(world).iter().filter(|line| !line.starts_with("GET ")).count();
        assert_eq!(writes(world), 1, "{:#?}", request_lines(world));

        world.standin().clear_requests();
        let daemon = start_daemon(world);
        wait_until_settled(world);
        daemon.terminate();
        assert_eq!(writes(world), 0, "{:#?}", request_lines(world));

        world.standin().set_user_data(FINGERPRINTS, "256 SHA256:somebody-elses x (ED25519)");
        let daemon = start_daemon(world);
        wait_until_settled(world);
        daemon.terminate();
        assert_eq!(world.standin().user_data(FINGERPRINTS).expect("stored"), value.as_bytes());
    });
}

#[test]
fn h4_deleted_value_is_published_again() {
    World::builder().run(|world| {
        make_host_key(world);
        let settings = "[host-keys]\ntypes = [\"ed25519\"]\n[metadata]\nlook-again = \"100ms\"\n";
        fs::write("/etc/scw-agent.toml", settings).expect("written");
        let daemon = start_daemon(world);
        let value = wait_until_published(world);
        world.standin().delete_user_data(FINGERPRINTS);
        assert_eq!(wait_until_published(world), value);
        daemon.terminate();
    });
}

#[test]
fn h4_keys_remade_by_another_tool_are_published() {
    World::builder().run(|world| {
        make_host_key(world);
        let daemon = start_daemon(world);
        let first = wait_until_published(world);
        wait_until_settled(world);
        // As cloud-init does: all keys are deleted, then made again one after the other.
        fs::remove_file("/etc/ssh/ssh_host_ed25519_key").expect("removed");
        fs::remove_file("/etc/ssh/ssh_host_ed25519_key.pub").expect("removed");
        for name in ["ecdsa", "ed25519"] {
            let path = format!("/etc/ssh/ssh_host_{name}_key");
            keygen(world, name, "cloud-init", &path);
        }
        let remade = std::time::Instant::now();
        let mut expected = fingerprints_of(world, "/etc/ssh/ssh_host_ecdsa_key.pub");
        expected.append(&mut fingerprints_of(world, "/etc/ssh/ssh_host_ed25519_key.pub"));
        until(world, "published again", || {
            serve_requests(world);
            let value = String::from_utf8(world.standin().user_data(FINGERPRINTS)?).ok()?;
            (value != first && consumers::read_strictly(&value) == expected).then_some(())
        });
        println!("published {:?} after the last key was made", remade.elapsed());
        daemon.terminate();
    });
}

#[test]
fn known_hosts_and_sshfp_match_openssh_output() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
        for name in ["ecdsa", "ed25519", "rsa"] {
            let public = format!("/etc/ssh/ssh_host_{name}_key.pub");
            let key = fs::read_to_string(&public).expect("read");
            let line = format!("web-1 {}", key.split(' ').take(2).collect::<Vec<_>>().join(" "));
            let known_hosts = agent(world, &["host-keys", "known-hosts", "--host", "web-1"]).out;
            assert!(known_hosts.lines().any(|known| known == line), "{line} is not in {known_hosts}");
            let records = run(world.command("ssh-keygen").args(["-r", "web-1", "-f", &public])).out;
            let ours = agent(world, &["host-keys", "sshfp", "--host", "web-1"]).out;
            let sha256 = records.lines().find(|record| record.contains(" 2 ")).expect("a SHA-256 record");
            assert!(ours.lines().any(|record| record == sha256), "{sha256} is not in {ours}");
        }
    });
}

#[test]
fn missing_host_keys_are_reported_and_not_published() {
    World::builder().run(|world| {
        let daemon = start_daemon(world);
        let status = until(world, "reporting that there are no keys", || {
            serve_requests(world);
            let status = agent(world, &["status"]);
            (status.code == 1).then_some(status)
        });
        assert!(
            status.out.contains("✗ fingerprints") && status.out.contains("host-keys ensure"),
            "{}",
            status.out
        );
        daemon.terminate();
        assert_eq!(world.standin().user_data(FINGERPRINTS), None);
    });
}

#[test]
fn host_keys_show_lists_keys_as_text_and_json() {
    World::builder().run(|world| {
        assert_eq!(agent(world, &["host-keys", "show"]).code, 3);
        make_host_key(world);
        let expected = fingerprints_of(world, "/etc/ssh/ssh_host_ed25519_key.pub");
        let shown = agent(world, &["host-keys", "show"]).out;
        assert!(
            shown.contains(expected.first().expect("one")) && shown.starts_with("… not known"),
            "{shown}"
        );
        let json: serde_json::Value =
            serde_json::from_str(&agent(world, &["host-keys", "show", "--json"]).out).expect("JSON");
        assert_eq!(json[0]["fingerprint"].as_str(), expected.first().map(String::as_str));
        assert_eq!((&json[0]["bits"], &json[0]["published"]), (&256.into(), &serde_json::Value::Null));

        let daemon = start_daemon(world);
        wait_until_published(world);
        until(world, "published", || {
            let shown = agent(world, &["host-keys", "show"]);
            (shown.code == 0 && shown.out.starts_with("✓ published")).then_some(())
        });
        daemon.terminate();
    });
}

#[test]
fn h3_public_key_without_private_key_is_not_published() {
    World::builder().run(|world| {
        make_host_key(world);
        run(world
            .command("sh")
            .args(["-c", "cp /etc/ssh/ssh_host_ed25519_key.pub /etc/ssh/ssh_host_old_key.pub"]));
        let daemon = start_daemon(world);
        assert_eq!(consumers::read_strictly(&wait_until_published(world)).len(), 1);
        assert_eq!(wait_until_published(world).lines().count(), 1);
        daemon.terminate();
    });
}

#[test]
fn h4_wrong_value_after_a_write_is_written_again() {
    World::builder().run(|world| {
        make_host_key(world);
        // All reads after a write return another value: the daemon writes once more, and then reports the failure. The question reads, too.
        let other = Fault::Body { text: "256 SHA256:other x (ED25519)".to_owned() };
        let path = "/user_data/ssh-host-fingerprints";
        world.standin().set_orders(vec![Order::new(other).path(path).method("GET").nth("2-")]);
        let daemon = start_daemon(world);
        let reads = || {
            request_lines(world)
                .iter()
                .filter(|line| line.starts_with("GET ") && line.ends_with(path))
                .count()
        };
        until(world, "read back", || {
            serve_requests(world);
            (reads() >= 2).then_some(())
        });
        until(world, "settled", || {
            let status: serde_json::Value =
                serde_json::from_str(&agent(world, &["status", "--json"]).out).ok()?;
            (status["fingerprints"]["state"] == "failed").then_some(())
        });
        daemon.terminate();
    });
}

#[test]
fn parallel_host_keys_runs_do_not_disturb_each_other() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        one_key_type();
        for _ in 0..10 {
            let _ = fs::remove_file("/etc/ssh/ssh_host_ed25519_key");
            let start =
                || Daemon::spawn(world.command(AGENT).args(["host-keys", "ensure"])).expect("started");
            for mut role in [start(), start(), start()] {
                assert_eq!(role.wait(LONG).and_then(|status| status.code()), Some(0), "{}", role.output());
            }
        }
    });
}

#[test]
fn d2_ensure_succeeds_without_etc_ssh() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        run(world.command("rm").args(["-r", "/etc/ssh"]));
        assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
        assert!(!Path::new("/etc/ssh").exists());
    });
}

#[test]
fn h3_independent_readers_and_keyscan_agree() {
    World::builder().with_sshd().run(|world| {
        assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
        let sshd = Sshd::start(world).expect("sshd");
        let daemon = start_daemon(world);
        let value = wait_until_published(world);
        fs::write("/run/scanned", run(&mut sshd.keyscan(world)).out).expect("written");
        let served = fingerprints_of(world, "/run/scanned");
        assert_eq!(
            (consumers::read_strictly(&value), consumers::read_by_pattern(&value)),
            (served.clone(), served)
        );
        daemon.terminate();
    });
}

#[test]
fn h4_published_value_recovers_by_itself() {
    World::builder().run(|world| {
        make_host_key(world);
        let settings = "[host-keys]\ntypes = [\"ed25519\"]\n[metadata]\nlook-again = \"1s\"\n";
        fs::write("/etc/scw-agent.toml", settings).expect("written");
        let daemon = start_daemon(world);
        wait_until_published(world);
        let served = || fingerprints_of(world, "/etc/ssh/ssh_host_ed25519_key.pub");
        let until_correct = |what: &str| {
            let start = std::time::Instant::now();
            until(world, what, || {
                serve_requests(world);
                let value = String::from_utf8(world.standin().user_data(FINGERPRINTS)?).ok()?;
                (consumers::read_by_pattern(&value) == served()).then_some(())
            });
            println!("{what}: correct again after {:?}", start.elapsed());
        };

        world.standin().delete_user_data(FINGERPRINTS);
        until_correct("deleted (the daemon checks every second here)");

        world.standin().set_orders(vec![Order::new(Fault::status(503)).method("PATCH").nth("1-3")]);
        world.standin().delete_user_data(FINGERPRINTS);
        // Meanwhile another tool replaces the key.
        for name in ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"] {
            fs::remove_file(Path::new("/etc/ssh").join(name)).expect("removed");
        }
        let path = "/etc/ssh/ssh_host_ed25519_key";
        keygen(world, "ed25519", "another tool", path);
        until_correct("deleted, three PATCH requests refused, the key replaced meanwhile");
        let patches = world.standin().requests().iter().filter(|request| request.method == "PATCH").count();
        assert!(patches >= 4, "the writes were refused and tried again: {patches}");
        daemon.terminate();
    });
}

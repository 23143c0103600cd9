//! H3: the published keys are the served keys, for any sshd configuration. The agent knows them from its own reading of the
//! configuration files, or from sshd's own answer.

use std::collections::BTreeSet;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use scw_stage::{Reach, Sshd, World};

use crate::machine::*;

const SERVED: &str = "/run/scw-agent-hostkeys/served.json";
const CHECK_REQUESTED: &str = "/run/scw-agent-requests/host-keys/survey-requested";

/// Additions to sshd's configuration, as a drop-in file, and the key types that sshd then serves of the three existing ones.
const CONFIGURATIONS: [(&str, &[&str]); 12] = [
    ("", &["ECDSA", "ED25519", "RSA"]),
    ("HostKey /etc/ssh/ssh_host_ed25519_key", &["ED25519"]),
    ("hostkey=/etc/ssh/ssh_host_rsa_key\nHostKey \"/etc/ssh/ssh_host_ecdsa_key\" # two", &["ECDSA", "RSA"]),
    ("HostKey ssh_host_rsa_key\nHostKey /etc/ssh/ssh_host_rsa_key", &["RSA"]),
    ("HostKeyAlgorithms ssh-ed25519,rsa-sha2-512", &["ED25519", "RSA"]),
    ("HostKeyAlgorithms -ssh-ed25519*", &["ECDSA", "RSA"]),
    ("HostKeyAlgorithms -rsa-*,ssh-rsa", &["ECDSA", "ED25519"]),
    ("HostKeyAlgorithms ^ssh-ed25519", &["ECDSA", "ED25519", "RSA"]),
    ("HostKeyAlgorithms +ssh-rsa\nHostKeyAlgorithms ssh-ed25519", &["ECDSA", "ED25519", "RSA"]),
    ("HostKeyAlgorithms ecdsa-sha2-nistp256", &["ECDSA"]),
    ("RequiredRSASize 4096", &["ECDSA", "ED25519"]),
    ("Match User nobody\nX11Forwarding no", &["ECDSA", "ED25519", "RSA"]),
];

/// The key types in a published value.
fn published_types(value: &str) -> BTreeSet<String> {
    let bracketed = |line: &str| line.rsplit('(').next().expect("a type").trim_end_matches(')').to_owned();
    value.lines().map(bracketed).collect()
}

/// The key types that sshd offers to a real client.
fn scanned_types(world: &World) -> BTreeSet<String> {
    let sshd = Sshd::start(world).expect("sshd");
    let keys = run(&mut sshd.keyscan(world)).out;
    fs::write("/run/scanned", keys).expect("written");
    let listed = run(world.command("ssh-keygen").args(["-lf", "/run/scanned"])).out;
    sshd.stop();
    published_types(listed.trim_end())
}

/// Removes what is known of the served keys, as a reboot does.
fn forget_served_keys() {
    let _ = fs::remove_file(SERVED);
}

/// How the agent learned the served keys: from `sshd` or from the configuration `files`.
fn recorded_source() -> String {
    let served: serde_json::Value =
        serde_json::from_slice(&fs::read(SERVED).expect("the served keys")).expect("JSON");
    served["source"].as_str().expect("a source").to_owned()
}

#[test]
fn h3_own_reading_sshd_answer_and_client_view_agree() {
    World::builder().with_sshd().run(|world| {
        assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
        for (addition, expected) in CONFIGURATIONS {
            fs::write("/etc/ssh/sshd_config.d/50-test.conf", addition).expect("written");
            let expected: BTreeSet<_> = expected.iter().map(|name| (*name).to_owned()).collect();
            let known = || -> BTreeSet<String> {
                let shown: serde_json::Value =
                    serde_json::from_str(&agent(world, &["host-keys", "show", "--json"]).out).expect("JSON");
                let keys = shown.as_array().expect("a list").iter().filter(|key| key["served"] == true);
                keys.map(|key| key["type"].as_str().expect("a type").to_owned()).collect()
            };
            forget_served_keys();
            sh(world, "mount --bind /bin/false /usr/sbin/sshd");
            assert_eq!(agent(world, &["host-keys", "ensure"]).code, 1, "without sshd's answer");
            assert_eq!((recorded_source().as_str(), known()), ("files", expected.clone()), "{addition}");
            sh(world, "umount /usr/sbin/sshd");
            let settled = agent(world, &["host-keys", "settle"]);
            assert_eq!((settled.code, recorded_source().as_str()), (0, "sshd"), "{}", settled.err);
            assert_eq!(known(), expected, "by sshd's answer: {addition}");
            assert_eq!(scanned_types(world), expected, "offered to a client: {addition}");
        }
    });
}

#[test]
fn h3_h4_sshd_configuration_change_is_published() {
    World::builder().with_sshd().run(|world| {
        assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
        // So that no check finds the change before the kernel reports it.
        fs::write("/etc/scw-agent.toml", "[metadata]\nlook-again = \"1h\"\n").expect("written");
        let daemon = start_daemon(world);
        assert_eq!(published_types(&wait_until_published(world)).len(), 3);
        assert!(!fs::exists(CHECK_REQUESTED).expect("checked"), "the settle pass removes the request");

        // While a request of the start may be pending, the daemon looks at the files all the time.
        wait_until_settled(world);
        sleep(Duration::from_secs(15));
        // As administrators do. The test starts the settle pass instead of systemd.
        fs::write("/root/ecdsa.conf", "HostKeyAlgorithms ecdsa-sha2-nistp256\n").expect("written");
        for (change, served) in [
            ("ln -s /root/ecdsa.conf /etc/ssh/sshd_config.d/50-ours.conf", "ECDSA"),
            ("echo HostKeyAlgorithms ssh-rsa,rsa-sha2-512 >/etc/ssh/sshd_config.d/40-ours.conf", "RSA"),
            (
                "rm /etc/ssh/sshd_config.d/*-ours.conf; mv /root/ed25519.conf /etc/ssh/sshd_config.d",
                "ED25519",
            ),
        ] {
            fs::write("/root/ed25519.conf", "HostKeyAlgorithms ssh-ed25519\n").expect("written");
            sh(world, change);
            until(world, "published", || {
                serve_requests(world);
                let value = String::from_utf8(world.standin().user_data(FINGERPRINTS)?).ok()?;
                (published_types(&value) == BTreeSet::from([served.to_owned()])).then_some(())
            });
        }
        until(world, "shown as published", || {
            let shown = agent(world, &["host-keys", "show"]).out;
            assert_eq!(shown.matches("not served").count(), 2, "{shown}");
            (shown.matches("✓ published").count() == 1).then_some(())
        });
        assert_eq!(agent(world, &["host-keys", "known-hosts"]).out.lines().count(), 1);
        daemon.terminate();
    });
}

#[test]
fn only_keys_named_in_sshd_configuration_are_made() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).with_sshd().run(|world| {
        fs::create_dir("/var/lib/keys").expect("made");
        let lines = "HostKey /var/lib/keys/ssh_host_ed25519_key\nHostKey /etc/ssh/ssh_host_ecdsa_key\n";
        fs::write("/etc/ssh/sshd_config.d/50-ours.conf", lines).expect("written");
        let made = agent(world, &["host-keys", "ensure"]);
        assert_eq!(made.code, 0, "{}", made.err);
        for (path, is_there) in [
            ("/var/lib/keys/ssh_host_ed25519_key", true),
            ("/etc/ssh/ssh_host_ecdsa_key", true),
            ("/etc/ssh/ssh_host_ed25519_key", false),
            ("/etc/ssh/ssh_host_rsa_key", false),
        ] {
            assert_eq!(fs::exists(path).expect("checked"), is_there, "{path}");
        }
        assert_eq!(scanned_types(world), BTreeSet::from(["ECDSA".to_owned(), "ED25519".to_owned()]));
        assert_eq!(agent(world, &["host-keys", "show"]).out.lines().count(), 2);
    });
}

#[test]
fn no_ed25519_key_is_made_in_fips_mode() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        // A kernel in FIPS mode.
        let script = "mount -t tmpfs none /proc/sys && mkdir /proc/sys/crypto && echo 1 > /proc/sys/crypto/fips_enabled";
        assert_eq!(run(world.command("sh").args(["-c", script])).code, 0);
        assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
        assert!(!fs::exists("/etc/ssh/ssh_host_ed25519_key").expect("checked"));
        assert!(fs::exists("/etc/ssh/ssh_host_ecdsa_key").expect("checked"));
    });
}

#[test]
fn h3_without_answer_of_sshd_its_files_are_read() {
    World::builder().with_sshd().run(|world| {
        make_host_key(world);
        fs::write("/etc/ssh/sshd_config.d/50-ours.conf", "HostKeyAlgorithms ssh-ed25519\nNoSuchOption yes\n")
            .expect("written");
        let settled = agent(world, &["host-keys", "settle"]);
        assert!(
            settled.code == 1 && settled.err.contains("NoSuchOption"),
            "{} {}",
            settled.code,
            settled.err
        );
        assert_eq!(recorded_source(), "files");
    });
}

#[test]
fn h3_sshd_answer_is_cached_until_configuration_changes() {
    const PRIVILEGE_SEPARATION: &str = "/run/sshd";
    World::builder().with_sshd().run(|world| {
        make_host_key(world);
        let settle = || {
            forget_served_keys();
            let settled = agent(world, &["host-keys", "settle"]);
            (settled.code, recorded_source(), settled.err)
        };
        let by_sshd = (0, "sshd".to_owned(), String::new());
        assert_eq!(settle(), by_sshd);
        // From now on sshd gives no answer, and each query fails.
        fs::remove_dir(PRIVILEGE_SEPARATION).expect("removed");
        assert_eq!(settle(), by_sshd, "the cached answer");
        fs::write("/etc/ssh/sshd_config.d/50-ours.conf", "Port 22\n").expect("written");
        let (code, source, log) = settle();
        assert!(
            (code, source.as_str()) == (1, "files") && log.contains("sshd refuses"),
            "{code} {source} {log}"
        );
        fs::create_dir(PRIVILEGE_SEPARATION).expect("made");
        assert_eq!(settle(), by_sshd);
        // A damaged cache is ignored; sshd is queried again.
        fs::remove_dir(PRIVILEGE_SEPARATION).expect("removed");
        fs::write("/var/lib/scw-agent/openssh-answers.json", "{").expect("written");
        assert_eq!(settle().0, 1);
    });
}

//! H1 for clones: to which Instance the disk belongs, and the renewal of the host keys when that is another one.

use std::fs;
use std::path::Path;

use scw_stage::{Reach, Sshd, World};

use crate::machine::*;

const RECORD: &str = "/var/lib/scw-agent/instance.json";
const FIRST: &str = "daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86";
const CLONE: &str = "11111111-2222-4333-8444-555555555555";

/// The line of the public host key.
fn public_key() -> String {
    fs::read_to_string("/etc/ssh/ssh_host_ed25519_key.pub").expect("a key")
}

/// Boots until the Instance is known: ensure pass, daemon, and settle pass, as systemd starts it for the path unit. Returns the log of the settle pass.
fn boot(world: &World) -> String {
    make_host_key(world);
    let daemon = start_daemon(world);
    let log = wait_until_settled(world);
    daemon.terminate();
    // The daemon may have written a request after the last settle pass.
    fs::write(INSTANCE_SEEN, "").expect("written");
    let again = agent(world, &["host-keys", "settle"]);
    assert_eq!((again.code, Path::new(INSTANCE_SEEN).exists()), (0, false), "{}", again.err);
    log + &again.err
}

/// From now on the disk belongs to this Instance.
fn move_disk_to(world: &World, instance: &str) {
    world.reboot();
    become_instance(world, instance);
    world.standin().delete_user_data(FINGERPRINTS);
}

/// Sets the DMI data that the hypervisor provides.
fn set_dmi(world: &World, vendor: &str, uuid: &str) {
    world.set_dmi(Some(vendor), Some(uuid));
}

fn recorded_instance() -> String {
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(RECORD).expect("a record")).expect("JSON");
    assert_eq!(record["version"], 1);
    record["instance"].as_str().expect("an id").to_owned()
}

#[test]
fn h1_the_same_instance_keeps_its_keys_at_every_boot() {
    World::builder().run(|world| {
        boot(world);
        let first = public_key();
        assert_eq!(recorded_instance(), FIRST);
        for _ in 0..2 {
            world.reboot();
            let log = boot(world);
            assert_eq!((public_key(), &*log), (first.clone(), ""));
        }
    });
}

#[test]
fn h1_clone_gets_new_keys_served_and_published() {
    World::builder().with_sshd().run(|world| {
        boot(world);
        let first = public_key();
        let old_value =
            String::from_utf8(world.standin().user_data(FINGERPRINTS).expect("published")).expect("UTF-8");
        // A key type that is not in the configuration was cloned, too.
        run(world.command("ssh-keygen").args([
            "-q",
            "-t",
            "ecdsa",
            "-N",
            "",
            "-f",
            "/etc/ssh/ssh_host_ecdsa_key",
        ]));

        move_disk_to(world, CLONE);
        make_host_key(world);
        assert_eq!(public_key(), first, "without metadata, nothing proves a clone");
        let sshd = Sshd::start(world).expect("sshd");
        let daemon = start_daemon(world);
        let log = wait_until_settled(world);
        assert!(log.contains("belongs to another Instance") && log.contains(CLONE), "{log}");
        assert_ne!(public_key(), first);
        assert!(!Path::new("/etc/ssh/ssh_host_ecdsa_key").exists(), "{log}");
        assert_eq!(recorded_instance(), CLONE);

        // The new keys are published and served without any restart.
        until(world, "published", || {
            let value = String::from_utf8(world.standin().user_data(FINGERPRINTS)?).ok()?;
            (value != old_value && value.lines().count() == 1).then_some(())
        });
        let expected = public_key().split(' ').take(2).collect::<Vec<_>>().join(" ");
        until(world, "served", || {
            let scanned = run(&mut sshd.keyscan(world)).out;
            let keys: Vec<_> = scanned.lines().filter(|line| !line.starts_with('#')).collect();
            (keys.len() == 1 && keys[0].ends_with(&expected)).then_some(())
        });
        let kept = run(world
            .command("sh")
            .args(["-c", "cat /var/lib/scw-agent/old-host-keys/*/ssh_host_ed25519_key.pub"]));
        assert_eq!(
            kept.out.trim_end(),
            first.trim_end(),
            "the old key is kept, so that its owner can see what happened"
        );
        daemon.terminate();
    });
}

#[test]
fn h1_hypervisor_id_proves_a_clone_before_the_network() {
    World::builder().run(|world| {
        set_dmi(world, "Scaleway", &FIRST.to_uppercase());
        boot(world);
        let first = public_key();
        move_disk_to(world, CLONE);
        set_dmi(world, "Scaleway", CLONE);
        let log = agent(world, &["host-keys", "ensure"]);
        assert!(log.err.contains(CLONE) && public_key() != first, "{}", log.err);
        assert_eq!(recorded_instance(), CLONE);
        let second = public_key();
        boot(world);
        assert_eq!(public_key(), second, "the metadata agree");
    });
}

#[test]
fn h1_hypervisor_id_that_never_matched_proves_nothing() {
    World::builder().run(|world| {
        set_dmi(world, "Scaleway", CLONE);
        boot(world);
        let first = public_key();
        world.reboot();
        set_dmi(world, "Scaleway", "99999999-2222-4333-8444-555555555555");
        boot(world);
        assert_eq!(public_key(), first);
    });
}

#[test]
fn h1_metadata_against_hypervisor_id_change_nothing() {
    World::builder().run(|world| {
        set_dmi(world, "Scaleway", FIRST);
        boot(world);
        let first = public_key();
        move_disk_to(world, CLONE);
        set_dmi(world, "Scaleway", FIRST);
        make_host_key(world);
        let daemon = start_daemon(world);
        let is_reported = |ended: &Ended| ended.err.contains("names another Instance");
        until(world, "reported", || serve_requests(world).filter(is_reported));
        assert_eq!((public_key(), recorded_instance()), (first, FIRST.to_owned()));
        daemon.terminate();
        assert_eq!(
            world.standin().user_data(FINGERPRINTS),
            None,
            "it is unknown to which Instance the keys belong"
        );
    });
}

#[test]
fn h1_regenerate_never_keeps_the_keys_of_a_clone() {
    World::builder().run(|world| {
        boot(world);
        let first = public_key();
        move_disk_to(world, CLONE);
        let settings = "[host-keys]\ntypes = [\"ed25519\"]\nregenerate = \"never\"\n";
        fs::write("/etc/scw-agent.toml", settings).expect("written");
        let daemon = start_daemon(world);
        let log = wait_until_settled(world);
        assert!(log.contains("are kept, as configured"), "{log}");
        assert_eq!((public_key(), recorded_instance()), (first, CLONE.to_owned()));
        daemon.terminate();
    });
}

#[test]
fn h1_d1_unreadable_id_proves_no_other_instance() {
    World::builder().run(|world| {
        boot(world);
        let first = public_key();
        // A truncated record, as after a power failure.
        fs::write(RECORD, "{\"version\":1,\"inst").expect("written");
        world.reboot();
        let log = agent(world, &["host-keys", "ensure"]);
        assert!(log.code == 1 && log.err.contains("instance.json.unreadable-"), "{}", log.err);
        assert_eq!(public_key(), first);
        boot(world);
        assert_eq!(
            (public_key(), recorded_instance()),
            (first.clone(), FIRST.to_owned()),
            "the Instance is recorded again"
        );
        // An invalid id proves no other Instance.
        for id in ["", "garbage", "../../etc/passwd", &format!("{CLONE}x"), &"a".repeat(100_000)] {
            request_instance(world, id);
            let log = agent(world, &["host-keys", "settle"]);
            assert!(log.code == 0 && log.err.contains("trying again later"), "{}", log.err);
            assert_eq!((public_key(), recorded_instance()), (first.clone(), FIRST.to_owned()), "{id:.40}");
        }
    });
}

#[test]
fn h2_failed_renewal_keeps_the_record_for_the_next_run() {
    World::builder().ipv4(Reach::Served).run(|world| {
        boot(world);
        move_disk_to(world, CLONE);
        let daemon = start_daemon(world);
        until(world, "requested", || Path::new(INSTANCE_SEEN).exists().then_some(()));
        // Without ssh-keygen there are no new keys, so the disk still belongs to the first Instance.
        let failed = without_keygen(world, || agent(world, &["host-keys", "settle"]));
        assert_eq!(failed.code, 1);
        assert!(failed.err.contains("ssh-keygen"), "{}", failed.err);
        assert_eq!(recorded_instance(), FIRST);
        let first = public_key();
        request_instance(world, CLONE);
        agent(world, &["host-keys", "settle"]);
        assert_eq!(recorded_instance(), CLONE);
        assert_ne!(public_key(), first);
        daemon.terminate();
    });
}

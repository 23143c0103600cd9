//! H2 and D1 when the power goes: on a real ext4, which is cut off at any step, with all that was not synced lost; mounted again, the
//! machine boots, and ends in the one right state.
//!
//! The cut is the file system's own: its shutdown without a flush of its journal, as its developers test it.

use std::fs;

use scw_stage::World;

use crate::crash::{MAX_CALLS, TYPES, complete_keys, killed_at, strace};
use crate::machine::*;

const ORIGINAL: &str = "daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86";
const CLONE: &str = "11111111-2222-4333-8444-555555555555";
/// Steps at which the power goes: those that change what is on the disk, or wait for it.
const STEPS: [&str; 8] = ["openat", "mkdir", "write", "fsync", "rename", "unlink", "unlinkat", "rmdir"];

/// A disk of the world's own: /etc/ssh and the agent's state are on it.
struct Disk<'a>(&'a World);

impl<'a> Disk<'a> {
    fn new(world: &'a World) -> Self {
        sh(world, "truncate -s 8M /root/disk && mkfs.ext4 -q /root/disk && mkdir /root/mnt");
        let disk = Self(world);
        disk.mount();
        sh(world, "mkdir -m 755 /root/mnt/ssh; mkdir -m 700 /root/mnt/scw-agent");
        disk
    }

    /// Without the file system's own help for programs that do not sync before they rename.
    fn mount(&self) {
        sh(
            self.0,
            "mount -o loop,noauto_da_alloc /root/disk /root/mnt
             if [ -d /root/mnt/ssh ]; then mount --bind /root/mnt/ssh /etc/ssh; mount --bind /root/mnt/scw-agent /var/lib/scw-agent; fi",
        );
    }

    fn unmount(&self) {
        sh(self.0, "umount /etc/ssh /var/lib/scw-agent 2>/dev/null || true; umount /root/mnt");
    }

    /// As it is now, whole, under another name.
    fn save(&self, name: &str) {
        self.unmount();
        sh(self.0, &format!("cp --sparse=always /root/disk /root/disk-{name}"));
        self.mount();
    }

    /// As a new file: the loop device of the old one may still be there on a busy machine, and `mount` would take it again, with its cache.
    fn restore(&self, name: &str) {
        self.unmount();
        sh(
            self.0,
            &format!("cp --sparse=always /root/disk-{name} /root/disk-new && mv /root/disk-new /root/disk"),
        );
        self.mount();
    }

    /// The power goes, and comes back. The disk is copied before it is unmounted: with its journal aborted, ext4 may then write blocks of
    /// operations that were never committed, which a machine without power cannot.
    fn cut(&self) {
        sh(self.0, "xfs_io -x -c shutdown /root/mnt && cp --sparse=always /root/disk /root/disk-cut");
        self.unmount();
        sh(self.0, "mv /root/disk-cut /root/disk");
        self.mount();
    }
}

fn recorded_instance() -> Option<String> {
    let record = fs::read("/var/lib/scw-agent/instance.json").ok()?;
    let record: serde_json::Value = serde_json::from_slice(&record).expect("a record is whole or not there");
    Some(record["instance"].as_str().expect("an id").to_owned())
}

/// One boot's two passes, in the Instance of that id.
fn boot(world: &World, instance: &str, what: &str) {
    let _ = fs::remove_dir_all("/run/scw-agent-hostkeys");
    let ensured = agent(world, &["host-keys", "ensure"]);
    assert_eq!(ensured.code, 0, "{what}: {}", ensured.err);
    request_instance(world, instance);
    let settled = agent(world, &["host-keys", "settle"]);
    assert_eq!(settled.code, 0, "{what}: {}", settled.err);
}

/// Scenario, saved disk that it starts from, pass during which the power fails, and the Instance that the metadata name.
const SCENARIOS: [(&str, &str, &str, &str); 3] = [
    ("first boot, before sshd", "empty", "ensure", ORIGINAL),
    ("a later boot, with the metadata", "recorded", "settle", ORIGINAL),
    ("a clone", "recorded", "settle", CLONE),
];

#[test]
fn h2_d1_host_keys_recover_from_power_loss_at_any_step() {
    World::builder().run(|world| {
        fs::write("/etc/scw-agent.toml", "[host-keys]\ntypes = [\"ecdsa\", \"ed25519\"]\n").expect("written");
        let disk = Disk::new(world);
        disk.save("empty");
        boot(world, ORIGINAL, "the first boot");
        let first = complete_keys(world);
        disk.cut();
        assert!(
            first.len() == TYPES.len() && complete_keys(world) == first,
            "what a finished run made outlives the power"
        );
        disk.save("recorded");

        let mut points = 0;
        for (scenario, from, pass, instance) in SCENARIOS {
            for call in STEPS {
                for nth in 1..MAX_CALLS {
                    disk.restore(from);
                    if pass == "settle" {
                        request_instance(world, instance);
                    }
                    let _ = fs::remove_dir_all("/run/scw-agent-hostkeys");
                    let killed = killed_at(strace(world, call, nth).arg(AGENT).args(["host-keys", pass]));
                    let made = complete_keys(world);
                    disk.cut();
                    let what = format!("{scenario}, power lost at {call} {nth}");
                    let survivors = complete_keys(world);
                    if !killed {
                        assert!(survivors == made, "{what}: a finished run's work is lost");
                    }
                    if recorded_instance().as_deref() == Some(CLONE) {
                        assert!(
                            TYPES.iter().all(|name| survivors[name] != first[name]),
                            "{what}: recorded too early"
                        );
                    }
                    boot(world, instance, &what);
                    let end = complete_keys(world);
                    assert_eq!(
                        (end.len(), recorded_instance().as_deref()),
                        (TYPES.len(), Some(instance)),
                        "{what}"
                    );
                    match scenario {
                        "a clone" => assert!(TYPES.iter().all(|name| end[name] != first[name]), "{what}"),
                        _ => assert!(
                            survivors.iter().all(|(name, key)| end[name] == *key),
                            "{what}: remade without proof"
                        ),
                    }
                    points += 1;
                    if !killed {
                        break;
                    }
                }
            }
        }
        println!("power lost at {points} points: 0 violations");
        assert!(points > 60, "only {points} points");
    });
}

#[test]
fn s1_d1_runs_and_records_survive_power_loss_at_any_step() {
    World::builder().run(|world| {
        let disk = Disk::new(world);
        disk.save("empty");
        // What the script itself writes is on a disk that does not lose it: it tells what really happened.
        world
            .standin()
            .set_user_data("setup-script", "#!/bin/sh\necho \"$SCW_SETUP_ATTEMPT\" >> /root/ran\n");
        let mut points = 0;
        for call in STEPS {
            for nth in 1..MAX_CALLS {
                disk.restore("empty");
                world.reboot();
                let _ = fs::remove_file("/root/ran");
                let killed = killed_at(strace(world, call, nth).arg(AGENT).args(["setup", "run"]));
                disk.cut();
                points += 1;
                let what = format!("power lost at {call} {nth}");
                let record =
                    fs::read_to_string("/var/lib/scw-agent/setup/setup-script.json").unwrap_or_default();
                let ran = || fs::read_to_string("/root/ran").unwrap_or_default().lines().count();
                let before = ran();
                assert!(
                    killed || record.contains("\"exit\": 0"),
                    "{what}: a finished run's record is lost: {record}"
                );
                assert!(before == 0 || !record.is_empty(), "{what}: it ran, and nothing tells of it");
                world.reboot();
                let again = agent(world, &["setup", "run"]);
                assert_eq!(again.code, 0, "{what}: {}", again.err);
                let expected = if record.contains("\"exit\": 0") { before } else { before + 1 };
                assert_eq!(ran(), expected, "{what}: {record}");
                if !killed {
                    break;
                }
            }
        }
        println!("power lost at {points} points: 0 violations");
        assert!(points > 30, "only {points} points");
    });
}

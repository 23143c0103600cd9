//! H2 and D1 after a power failure at any step. The files are on a real ext4 file system, which loses everything that was not synced.
//! It is mounted again, the machine boots, and must reach the one correct state.
//!
//! The power failure is the file system's own shutdown without a flush of its journal, as its developers test it.

use std::fs;

use scw_stage::World;

use crate::crash::{MAX_CALLS, TYPES, check_renewal, complete_keys, killed_at, strace};
use crate::machine::*;

const ORIGINAL: &str = "daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86";
const CLONE: &str = "11111111-2222-4333-8444-555555555555";
/// System calls at which the power fails: those that change the disk or wait for it.
const STEPS: [&str; 8] = ["openat", "mkdir", "write", "fsync", "rename", "unlink", "unlinkat", "rmdir"];

/// A disk of the world with /etc/ssh and the agent's state.
pub(crate) struct Disk<'a>(&'a World);

impl<'a> Disk<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        sh(world, "truncate -s 8M /root/disk && mkfs.ext4 -q /root/disk && mkdir /root/mnt");
        let disk = Self(world);
        disk.mount();
        sh(world, "mkdir -m 755 /root/mnt/ssh; mkdir -m 700 /root/mnt/scw-agent");
        disk
    }

    /// Mounts the disk, without ext4's workaround for programs that do not sync before they rename (`noauto_da_alloc`).
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

    /// Saves a copy of the complete disk under another name.
    pub(crate) fn save(&self, name: &str) {
        self.unmount();
        sh(self.0, &format!("cp --sparse=always /root/disk /root/disk-{name}"));
        self.mount();
    }

    /// Restores a saved disk as a new file: on a busy machine the loop device of the old file may still exist, and `mount` would use it again, with its cache.
    pub(crate) fn restore(&self, name: &str) {
        self.unmount();
        sh(
            self.0,
            &format!("cp --sparse=always /root/disk-{name} /root/disk-new && mv /root/disk-new /root/disk"),
        );
        self.mount();
    }

    /// The power fails and returns. The disk is copied before it is unmounted: at the unmount, ext4 with an aborted journal may write
    /// blocks of operations that were never committed, which a machine without power cannot do.
    pub(crate) fn cut(&self) {
        sh(self.0, "xfs_io -x -c shutdown /root/mnt && cp --sparse=always /root/disk /root/disk-cut");
        self.unmount();
        sh(self.0, "mv /root/disk-cut /root/disk");
        self.mount();
    }
}

fn recorded_instance() -> Option<String> {
    let record = fs::read("/var/lib/scw-agent/instance.json").ok()?;
    let record: serde_json::Value = serde_json::from_slice(&record).expect("a record is complete or absent");
    Some(record["instance"].as_str().expect("an id").to_owned())
}

/// The ensure pass and the settle pass of a boot in this Instance.
fn boot(world: &World, instance: &str, what: &str) {
    let _ = fs::remove_dir_all("/run/scw-agent-hostkeys");
    let ensured = agent(world, &["host-keys", "ensure"]);
    assert_eq!(ensured.code, 0, "{what}: {}", ensured.err);
    request_instance(world, instance);
    let settled = agent(world, &["host-keys", "settle"]);
    assert_eq!(settled.code, 0, "{what}: {}", settled.err);
}

/// Scenario, saved disk that it starts from, pass during which the power fails, and the Instance in the metadata.
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
            "the result of a finished run survives the power failure"
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
                        assert!(survivors == made, "{what}: the result of a finished run is lost");
                    }
                    if recorded_instance().as_deref() == Some(CLONE) {
                        assert!(
                            TYPES.iter().all(|name| survivors[name] != first[name]),
                            "{what}: the Instance was recorded too early"
                        );
                    }
                    boot(world, instance, &what);
                    let end = complete_keys(world);
                    assert_eq!(
                        (end.len(), recorded_instance().as_deref()),
                        (TYPES.len(), Some(instance)),
                        "{what}"
                    );
                    check_renewal(scenario, &first, &survivors, &end, &what);
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
        // The script writes to a disk that loses nothing, so its file shows what really happened.
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
                    "{what}: the record of a finished run is lost: {record}"
                );
                assert!(before == 0 || !record.is_empty(), "{what}: the script ran without a record");
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

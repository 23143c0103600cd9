//! D2 and H2 on a full or read-only disk: the agent does what is possible, reports what is not, and damages no complete key.

use std::fs;

use scw_stage::World;

use crate::machine::*;

const KEYS: [&str; 2] = ["/etc/ssh/ssh_host_ecdsa_key", "/etc/ssh/ssh_host_ed25519_key"];

fn two_key_types() {
    fs::write("/etc/scw-agent.toml", "[host-keys]\ntypes = [\"ecdsa\", \"ed25519\"]\n").expect("written");
}

/// Whether `ssh-keygen` accepts the private key, and the public key file belongs to it.
fn is_complete(world: &World, key: &str) -> bool {
    let derived = run(world.command("ssh-keygen").args(["-y", "-P", "", "-f", key]));
    let public = fs::read_to_string(format!("{key}.pub")).unwrap_or_default();
    let key = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ").trim().to_owned();
    derived.code == 0 && key(&derived.out) == key(&public)
}

fn no_temporary_folder() -> bool {
    let mut entries = fs::read_dir("/etc/ssh").expect("listed").flatten();
    !entries.any(|entry| entry.file_name().to_string_lossy().starts_with(".scw-agent-new"))
}

#[test]
fn h2_d2_full_disk_leaves_each_key_complete_or_absent() {
    World::builder().run(|world| {
        two_key_types();
        assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
        sh(world, "mkdir /root/good && cp -a /etc/ssh/ssh_host_ed25519_key* /root/good");
        let (mut failed, mut done) = (0, 0);
        // From no free page, and from no free inode, to enough for everything that is written.
        let pages = (0..6).map(|pages| (format!("{pages} pages free"), pages, 99));
        let inodes = (0..10).map(|inodes| (format!("{inodes} inodes free"), 60, inodes));
        for (free, pages, inodes) in pages.chain(inodes) {
            sh(
                world,
                &format!(
                    "mount -t tmpfs -o size=256k,mode=755 none /etc/ssh; cp -a /root/good/* /etc/ssh/; : > /etc/ssh/filler
                     dd if=/dev/zero of=/etc/ssh/filler bs=4k count=$(( $(df --output=avail -k /etc/ssh | tail -n1) / 4 - {pages} )) 2>/dev/null
                     mount -o remount,nr_inodes=$(( $(df --output=iused /etc/ssh | tail -n1) + {inodes} )) /etc/ssh"
                ),
            );
            let good = fs::read(KEYS[1]).expect("read");
            let ensured = agent(world, &["host-keys", "ensure"]);
            match ensured.code {
                0 => done += 1,
                _ => {
                    assert!(ensured.err.contains("ssh_host_ecdsa_key: "), "{free}: {}", ensured.err);
                    failed += 1;
                }
            }
            assert_eq!(fs::read(KEYS[1]).expect("read"), good, "{free}: a good key was changed");
            assert!(is_complete(world, KEYS[1]), "{free}");
            assert_eq!(fs::exists(KEYS[0]).expect("checked"), ensured.code == 0, "{free}");
            assert!(no_temporary_folder(), "{free}: a temporary folder remains");
            fs::remove_file("/etc/ssh/filler").expect("removed");
            sh(world, "mount -o remount,nr_inodes=100 /etc/ssh");
            let again = agent(world, &["host-keys", "ensure"]);
            assert!(again.code == 0 && KEYS.iter().all(|key| is_complete(world, key)), "{free}: {}", again.err);
            sh(world, "umount /etc/ssh");
        }
        println!("full at {failed} sizes, enough at {done}");
        assert!(failed > 2 && done > 2, "the sizes do not reach from too little to enough: {failed}, {done}");
    });
}

#[test]
fn h2_d2_read_only_etc_keeps_good_keys_in_use() {
    World::builder().run(|world| {
        two_key_types();
        assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
        let before = KEYS.map(|key| fs::read(key).expect("read"));
        sh(world, "mount --bind /etc/ssh /etc/ssh && mount -o remount,bind,ro /etc/ssh");
        let kept = agent(world, &["host-keys", "ensure"]);
        assert!(kept.code == 0 && kept.err.contains("kept ecdsa, ed25519"), "{}", kept.err);
        let daemon = start_daemon(world);
        assert_eq!(wait_until_published(world).lines().count(), 2);
        daemon.terminate();

        sh(world, "umount /etc/ssh && rm /etc/ssh/ssh_host_ecdsa_key && mount --bind /etc/ssh /etc/ssh && mount -o remount,bind,ro /etc/ssh");
        let failed = agent(world, &["host-keys", "ensure"]);
        assert!(failed.code == 1 && failed.err.contains("Read-only file system"), "{}", failed.err);
        assert_eq!(fs::read(KEYS[1]).expect("read"), before[1]);
        let daemon = start_daemon(world);
        until(world, "the remaining key is published", || {
            let value = String::from_utf8(world.standin().user_data(FINGERPRINTS)?).ok()?;
            (value.lines().count() == 1).then_some(())
        });
        daemon.terminate();
    });
}

#[test]
fn h1_h2_clone_on_a_full_disk_is_renewed_by_the_next_run() {
    World::builder().run(|world| {
        two_key_types();
        assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
        request_instance(world, "daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86");
        assert_eq!(agent(world, &["host-keys", "settle"]).code, 0);
        world.reboot();
        assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
        let cloned = KEYS.map(|key| fs::read(key).expect("read"));
        sh(
            world,
            "mkdir /root/keys && cp -a /etc/ssh/. /root/keys && mount -t tmpfs -o size=64k none /etc/ssh \
             && cp -a /root/keys/ssh_host* /etc/ssh && dd if=/dev/zero of=/etc/ssh/filler 2>/dev/null || true",
        );
        for code in [1, 0] {
            request_instance(world, "11111111-2222-4333-8444-555555555555");
            let settled = agent(world, &["host-keys", "settle"]);
            assert_eq!(settled.code, code, "{}", settled.err);
            assert!(KEYS.iter().all(|key| is_complete(world, key)), "{}", settled.err);
            let _ = fs::remove_file("/etc/ssh/filler");
        }
        assert!(KEYS.iter().zip(cloned).all(|(key, old)| fs::read(key).expect("read") != old));
    });
}

#[test]
fn d2_keys_are_made_without_a_writable_state_folder() {
    World::builder().run(|world| {
        two_key_types();
        sh(world, "mount -t tmpfs -o ro none /var/lib/scw-agent");
        assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
        assert!(KEYS.iter().all(|key| is_complete(world, key)));
        request_instance(world, "daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86");
        let settled = agent(world, &["host-keys", "settle"]);
        assert!(settled.code == 1 && settled.err.contains("instance.json"), "{}", settled.err);
    });
}

#[test]
fn d1_summary_of_first_version_is_read() {
    for (name, passed_over) in [("base64", "cloud-init"), ("multipart", "cloud-init.part-001")] {
        let file = format!("tests/images/fixtures/first-version/{name}-summary.json");
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let summary = scw_agent::scripts::Summary::read(&path).expect("read").expect("there");
        assert!(summary.scripts.len() >= 11 && summary.network.is_none(), "{name}: {summary:?}");
        assert_eq!(summary.skipped[0].key, passed_over);
        assert!(!summary.skipped[0].by_earlier_version);
    }
}

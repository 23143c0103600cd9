//! `scw-agent sysprep` prepares a disk to become an image: what it removes, what it keeps, and what it reports.

use std::fs;
use std::path::Path;

use scw_stage::World;

use crate::machine::{agent, make_host_key, start_daemon, wait_until_settled};

#[test]
fn h1_sysprep_removes_records_and_keys_only_on_request() {
    World::builder().run(|world| {
        make_host_key(world);
        let daemon = start_daemon(world);
        // The request to check the Instance is written shortly after the fingerprints are published.
        wait_until_settled(world);
        drop(daemon);
        assert_eq!(agent(world, &["host-keys", "settle"]).code, 0);
        fs::write("/var/lib/scw-agent/instance.json.unreadable-1", "{").expect("written");
        let (record, key) =
            (Path::new("/var/lib/scw-agent/instance.json"), Path::new("/etc/ssh/ssh_host_ed25519_key"));
        assert!(record.exists() && key.exists());

        let ran = agent(world, &["sysprep", "--dry-run", "--host-keys"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        for path in [record, key, Path::new("/etc/ssh/ssh_host_ed25519_key.pub")] {
            assert!(ran.out.contains(&format!("would remove {}\n", path.display())), "{}", ran.out);
            assert!(path.exists(), "a dry run removes nothing");
        }

        let ran = agent(world, &["sysprep"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.out.contains(&format!("removed {}\n", record.display())), "{}", ran.out);
        assert_eq!(fs::read_dir("/var/lib/scw-agent").expect("there").count(), 0);
        assert!(key.exists(), "host keys are removed only on request");
        assert!(Path::new("/etc/scw-agent.toml").exists(), "the configuration file stays");

        let ran = agent(world, &["sysprep", "--host-keys"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(!key.exists() && !key.with_extension("pub").exists());
        assert!(
            agent(world, &["sysprep", "--host-keys"]).out.contains("there are no records of an Instance")
        );
    });
}

//! Tests of the view: it has the files of a new Instance and the daemon's privileges, and no write reaches the machine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use scw_stage::{Daemon, Privileges, World};

/// The metadata that change when a file is written: inode, size, mode and change time.
type Trace = Option<(u64, u64, u32, i64, i64)>;

fn trace(path: &str) -> Trace {
    let meta = fs::symlink_metadata(path).ok()?;
    Some((meta.ino(), meta.len(), meta.mode(), meta.ctime(), meta.ctime_nsec()))
}

/// The traces of all files below `root`.
fn traces(root: &str) -> BTreeMap<String, Trace> {
    let mut all = BTreeMap::from([(root.to_owned(), trace(root))]);
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let path = entry.path().display().to_string();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.extend(traces(&path));
        } else {
            all.insert(path.clone(), trace(&path));
        }
    }
    all
}

fn mode(path: &str) -> u32 {
    fs::metadata(path).expect(path).mode() & 0o7777
}

#[test]
fn files_of_the_machine_do_not_change() {
    let paths = [
        "/etc/ssh/ssh_host_ed25519_key",
        "/etc/scw-agent.toml",
        "/etc/stage-was-here",
        "/var/lib/scw-agent/state",
        "/var/lib/stage-was-here",
        "/var/log/stage-was-here",
        "/run/stage-was-here",
        "/root/stage-was-here",
    ];
    let look = || (traces("/etc"), paths.map(trace));
    let before = look();
    World::builder().run(|_| {
        for path in paths {
            fs::write(path, "only here").expect(path);
        }
        fs::remove_file("/etc/passwd").expect("removed");
        for entry in fs::read_dir("/etc/ssh").expect("there").flatten() {
            if entry.metadata().expect("there").is_file() {
                fs::remove_file(entry.path()).expect("removed");
            }
        }
        assert!(!Path::new("/etc/passwd").exists());
    });
    assert!(before == look());
    let mounts = fs::read_to_string("/proc/self/mounts").expect("read");
    assert!(!mounts.lines().any(|line| line.starts_with("stage ")), "{mounts}");
}

#[test]
fn view_is_that_of_a_new_instance() {
    World::builder().run(|world| {
        for entry in fs::read_dir("/etc/ssh").expect("there").flatten() {
            assert!(!entry.file_name().to_string_lossy().starts_with("ssh_host_"), "{entry:?}");
        }
        let passwd = fs::read_to_string("/etc/passwd").expect("read");
        for name in ["sshd", "scw-agent"] {
            let count = passwd.lines().filter(|line| line.starts_with(&format!("{name}:"))).count();
            assert_eq!(count, 1, "{name}");
        }
        assert_eq!(fs::read_dir("/var/lib/scw-agent").expect("there").count(), 0);
        assert_eq!(
            (mode("/var/lib/scw-agent"), mode("/run/scw-agent"), mode("/run/sshd")),
            (0o700, 0o755, 0o755)
        );
        assert_eq!(fs::metadata("/var/lib/scw-agent").expect("there").uid(), 0);
        let runtime = fs::metadata("/run/scw-agent").expect("there");
        assert_eq!((runtime.uid(), runtime.gid()), (world.agent_uid(), world.agent_gid()));
        assert!(!Path::new("/etc/scw-agent.toml").exists());
        // Programs find the accounts, too.
        let output = world.command("id").args(["-u", "scw-agent"]).output().expect("run");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), world.agent_uid().to_string());
    });
}

#[test]
fn daemon_has_two_capabilities_and_cannot_get_more() {
    World::builder().run(|world| {
        assert_eq!(world.privileges(), Privileges::Root);
        // A program whose path has a slash is mounted in the view.
        let mut command = world.agent_command("/usr/bin/cat");
        let output = command.args(["/proc/self/status", "/proc/self/environ"]).output().expect("run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).expect(name);
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(field(set), "0000000000002400", "{set}");
        }
        let (uid, gid) = (world.agent_uid(), world.agent_gid());
        assert_ne!(uid, 0);
        assert_eq!(field("Uid:"), format!("{uid} {uid} {uid} {uid}"));
        assert_eq!(field("Gid:"), format!("{gid} {gid} {gid} {gid}"));
        assert_eq!((field("Groups:"), field("NoNewPrivs:")), (String::new(), "1".to_owned()));
        assert!(text.contains("PATH=/usr/local/sbin"));
        assert!(!text.contains("CARGO"));
    });
}

#[test]
fn program_in_an_inaccessible_folder_runs_as_the_daemon() {
    World::builder().run(|world| {
        scw_stage::write_program("/root/program", fs::read("/usr/bin/true").expect("read"));
        assert_eq!(mode("/root"), 0o700);
        for _ in 0..2 {
            let status = world.agent_command("/root/program").status().expect("run");
            assert!(status.success());
        }
    });
}

#[test]
fn reboot_clears_processes_and_run_only() {
    let machine = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("read");
    World::builder().run(|world| {
        let boot_id = || fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("read");
        let mut daemon = Daemon::spawn(world.agent_command("sleep").arg("1000")).expect("started");
        for path in ["/run/file", "/run/scw-agent/file", "/var/lib/scw-agent/file", "/etc/file"] {
            fs::write(path, "x").expect(path);
        }
        let mut ids = vec![boot_id()];
        for _ in 0..2 {
            world.reboot();
            ids.push(boot_id());
        }
        assert!(daemon.wait(Duration::from_secs(300)).is_some());
        assert!(!Path::new("/run/file").exists() && !Path::new("/run/scw-agent/file").exists());
        assert!(Path::new("/var/lib/scw-agent/file").exists() && Path::new("/etc/file").exists());
        assert_eq!(fs::metadata("/run/scw-agent").expect("there").uid(), world.agent_uid());
        assert_eq!((&ids[0], ids[1].len()), (&machine, machine.len()));
        assert!(ids[0] != ids[1] && ids[1] != ids[2]);
    });
    assert_eq!(fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("read"), machine);
}

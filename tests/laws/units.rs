//! The systemd units: systemd accepts them, and sshd, the daemon and the setup runner do not wait for each other.

use std::fs;
use std::path::Path;
use std::process::Command;

const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd");

#[test]
fn systemd_reads_every_unit_without_a_complaint() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("units");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("made");
    let mut paths = Vec::new();
    for entry in fs::read_dir(UNITS).expect("listed").flatten() {
        // The program is not installed here, so its path is changed; nothing else is.
        let text = fs::read_to_string(entry.path()).expect("read");
        let text = text.replace("/usr/bin/scw-agent", env!("CARGO_BIN_EXE_scw-agent"));
        let path = folder.join(entry.file_name());
        fs::write(&path, text).expect("written");
        paths.push(path);
    }
    assert!(paths.len() >= 11, "{paths:?}");
    let output =
        Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&paths).output().expect("started");
    let messages = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<_> = messages.lines().filter(|line| line.contains("scw-agent")).collect();
    assert!(output.status.success() && ours.is_empty(), "{messages}");
}

#[test]
fn sshd_does_not_wait_for_network_or_daemon() {
    let read = |name: &str| fs::read_to_string(format!("{UNITS}/{name}")).expect("read");
    let keys = read("scw-agent-hostkeys.service");
    for name in [
        "ssh.service",
        "sshd.service",
        "ssh.socket",
        "sshd.socket",
        "sshd-keygen.service",
        "sshd-keygen.target",
        "sshd-keygen@rsa.service",
    ] {
        assert!(
            keys.lines()
                .any(|line| line.starts_with("Before=") && line.split(['=', ' ']).any(|unit| unit == name)),
            "{name}"
        );
    }
    for (name, network) in [
        ("scw-agent-hostkeys.service", "network"),
        ("scw-agent.service", "network"),
        // network.target is for the order at shutdown. At boot, these units do not wait until the network is online.
        ("scw-agent-setup.service", "network-online"),
        ("scw-agent-shutdown.service", "network-online"),
    ] {
        let waits = |line: &&str| ["After=", "Wants=", "Requires="].iter().any(|key| line.starts_with(key));
        assert!(
            !read(name).lines().filter(waits).any(|line| line.contains(network)),
            "{name} must not wait for the network"
        );
    }
    let daemon = read("scw-agent.service");
    let before: Vec<_> = daemon.lines().filter(|line| line.starts_with("Before=")).collect();
    assert_eq!(before, ["Before=shutdown.target"]);
}

#[test]
fn h2_systemd_never_ends_the_units_that_make_keys() {
    for name in ["scw-agent-hostkeys.service", "scw-agent-hostkeys-settle.service"] {
        let unit = fs::read_to_string(format!("{UNITS}/{name}")).expect("read");
        // That is systemd's default for a oneshot unit, whatever DefaultTimeoutStartSec= is.
        let limits = unit.lines().any(|line| line.starts_with("Timeout") || line.starts_with("RuntimeMax"));
        assert!(unit.contains("\nType=oneshot\n") && !limits, "{name}");
    }
}

#[test]
fn s1_setup_unit_is_started_by_its_path_only() {
    let read = |path: &str| fs::read_to_string(format!("{UNITS}/{path}")).expect("read");
    let unit = read("scw-agent-setup.service");
    assert!(!unit.lines().any(|line| line == "[Install]"), "no target may start the unit");
    assert!(
        unit.lines().any(|line| line == "Type=exec"),
        "the start job must not last as long as the scripts"
    );
    let preset = read("../packaging/usr/lib/systemd/system-preset/80-scw-agent.preset");
    assert!(
        preset.contains("enable scw-agent-setup.path\n") && !preset.contains("setup.service"),
        "{preset}"
    );
    // Units that multi-user.target starts must not delay it.
    for name in ["scw-agent.service", "scw-agent-shutdown.service", "scw-agent-hostkeys.service"] {
        assert!(read(name).lines().any(|line| line == "DefaultDependencies=no"), "{name}");
    }
}

#[test]
fn s4_install_removes_the_setup_units_old_link() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("install-over-old");
    let _ = fs::remove_dir_all(&root);
    let unit = root.join("usr/lib/systemd/system/scw-agent-setup.service");
    let link = root.join("etc/systemd/system/multi-user.target.wants/scw-agent-setup.service");
    let values = root.join("var/lib/scw-agent/setup-values.json");
    for path in [&unit, &link, &values] {
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    }
    let make_link = || std::os::unix::fs::symlink("/usr/lib/systemd/system/scw-agent-setup.service", &link);
    make_link().expect("linked");
    fs::write(&values, "{}").expect("written");
    fs::write(&unit, "[Service]\nType=oneshot\n[Install]\nWantedBy=multi-user.target\n").expect("written");
    let install = || {
        let program = Path::new(env!("CARGO_BIN_EXE_scw-agent"));
        let mut command = Command::new(format!("{UNITS}/../packaging/install"));
        let ended = command.arg(&root).arg(program.parent().expect("a folder")).output().expect("started");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        (link.symlink_metadata().is_ok(), values.exists())
    };
    assert_eq!(install(), (false, false), "files of an earlier version are removed");
    make_link().expect("linked");
    fs::write(&values, "{}").expect("written");
    assert_eq!(install(), (true, true), "a link of the administrator and a file of this version stay");
    fs::remove_dir_all(root).expect("removed");
}

//! The units: systemd reads them without a complaint, and they keep the design's three doors apart.

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
        // The program is not installed here: its path is the one thing that is changed.
        let text = fs::read_to_string(entry.path()).expect("read");
        let text = text.replace("/usr/bin/scw-agent", env!("CARGO_BIN_EXE_scw-agent"));
        let path = folder.join(entry.file_name());
        fs::write(&path, text).expect("written");
        paths.push(path);
    }
    assert!(paths.len() >= 4);
    let output =
        Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&paths).output().expect("started");
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<_> = said.lines().filter(|line| line.contains("scw-agent")).collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn nothing_chains_sshd_to_the_network_or_the_daemon() {
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
    for name in ["scw-agent-hostkeys.service", "scw-agent.service", "scw-agent-setup.service"] {
        let waits = |line: &&str| ["After=", "Wants=", "Requires="].iter().any(|key| line.starts_with(key));
        assert!(
            !read(name).lines().filter(waits).any(|line| line.contains("network")),
            "{name} must not wait for the network"
        );
    }
    assert!(!read("scw-agent.service").contains("Before="));
}

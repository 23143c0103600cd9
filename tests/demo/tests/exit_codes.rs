//! The demo must not report success if a step failed: tests with agents that do nothing or fail.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const DEMO: &str = env!("CARGO_BIN_EXE_scw-demo");

/// Runs the demo with shell scripts of one line in place of the agent.
fn demo_with(name: &str, line: &str) -> Output {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("made");
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        scw_stage::write_program(&path, text);
        path
    };
    let agent = write("scw-agent", format!("#!/bin/sh\n{line}\n"));
    let client = write("scw-known-hosts", format!("#!/bin/sh\n{line}\n"));
    let message = |path: &Path| format!("echo '{{\"executable\":\"{}\"}}'\n", path.display());
    let cargo = format!("#!/bin/sh\n{}{}", message(&agent), message(&client));
    let cargo = write("cargo", cargo);
    Command::new(DEMO).env("CARGO", cargo).output().expect("run")
}

#[test]
fn failing_or_idle_agent_fails_every_step() {
    for (name, line) in [("fails", "echo no luck >&2; exit 1"), ("idle", "exit 0")] {
        let output = demo_with(name, line);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!((text.matches('✗').count(), text.matches('✓').count()), (12, 1), "{text}");
        assert!(text.contains("1 of 13 steps held"), "{text}");
        assert_eq!(text.contains("no luck"), name == "fails", "{text}");
    }
}

#[test]
fn missing_programs_are_reported_in_one_line() {
    let output = Command::new(DEMO).env("PATH", "/nowhere").output().expect("run");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains("apt-get install iproute2 util-linux coreutils curl openssh-client"), "{text}");
}

#[test]
fn failed_build_ends_the_demo() {
    let output = Command::new(DEMO).env("CARGO", "false").output().expect("run");
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}

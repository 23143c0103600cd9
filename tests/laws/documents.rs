//! The documents match the programs: the help, the settings in the manual, the tests that documents name. `packaging/docs` tests
//! the generated pages.

use std::fs;
use std::path::Path;
use std::process::Command;

use scw_stage::World;

use crate::machine::{AGENT, agent};

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect(name)
}

/// The tables of these pages name tests. Most of those in invariants.md are found by `tests/invariants`; the others are listed by hand.
#[test]
fn every_test_named_in_the_documents_exists() {
    let pages = ["SECURITY.md", "docs/development/invariants.md", "docs/development/faults.md"];
    let text = pages.map(read).concat();
    let named = text
        .lines()
        .filter(|line| line.starts_with("| "))
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    let named: Vec<_> = named.filter(|name| name.contains('_') && name.matches('_').count() > 2).collect();
    assert!(named.len() > 300, "{named:?}");
    let sources = Command::new("grep")
        .args(["-rhE", "^ *(async )?fn [a-z0-9_]+\\(\\)", "src", "client", "tests", "packaging"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("started");
    let sources = String::from_utf8(sources.stdout).expect("UTF-8");
    for name in named {
        assert!(sources.contains(&format!("fn {name}()")), "there is no test {name}");
    }
}

#[test]
fn every_invariant_is_documented_and_has_a_test() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/invariants");
    let output = Command::new(script).output().expect("started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// For a complete, an incomplete and a misspelled command: what is printed, to which output, and the exit code.
#[test]
fn help_of_a_command_shows_that_command_only() {
    let run = |line: &str| {
        let output = Command::new(AGENT).args(line.split_whitespace()).output().expect("started");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    for (line, has, has_not) in [
        ("setup show --help", ["scw-agent setup show KEY", "--follow"], ["setup list", "--again"]),
        ("help setup show", ["scw-agent setup show KEY", "--follow"], ["setup list", "--again"]),
        ("host-keys --help", ["scw-agent host-keys show", "--host NAME"], ["scw-agent setup", "--follow"]),
        ("status -h", ["scw-agent status", "--timeout TIME"], ["scw-agent doctor", "--host"]),
        ("help", ["scw-agent status", "Exit codes:"], ["unknown", "incomplete command"]),
    ] {
        let (code, out, err) = run(line);
        assert_eq!((code, &*err), (Some(0), ""), "{line}");
        assert!(has.iter().all(|text| out.contains(text)), "{line}: {out}");
        assert!(!has_not.iter().any(|text| out.contains(text)), "{line}: {out}");
    }
    for (line, has) in [
        ("setup", ["`setup` is an incomplete command", "scw-agent setup run-shutdown"]),
        ("host-keys", ["`host-keys` is an incomplete command", "scw-agent host-keys sshfp"]),
        ("config", ["`config` is an incomplete command", "scw-agent config check"]),
        ("setup show", ["`setup show` is an incomplete command", "scw-agent setup show KEY"]),
        ("setup shwo", ["did you mean `setup show`?", "scw-agent --help"]),
        ("status --timeout 550000000000y", ["--timeout takes a duration", "at most a year"]),
    ] {
        let (code, out, err) = run(line);
        assert_eq!((code, &*out), (Some(2), ""), "{line}: {err}");
        assert!(has.iter().all(|text| err.contains(text)), "{line}: {err}");
    }
}

/// The words on the line after each `.TP` of a manual page, without the font commands.
fn listed_words(page: &str) -> Vec<String> {
    let plain = |line: &str| {
        ["\\fB", "\\fI", "\\fR", ".B "]
            .iter()
            .fold(line.replace("\\-", "-"), |line, mark| line.replace(mark, ""))
    };
    let lines: Vec<_> = page.lines().collect();
    let heads = lines.windows(2).filter(|pair| pair[0] == ".TP").map(|pair| plain(pair[1]));
    heads.flat_map(|head| head.split([' ', ',', '=']).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The names come from the real programs: the settings from an error message, the variables from a script's environment.
#[test]
fn manual_lists_all_script_settings_and_variables() {
    let listed = listed_words(&read("packaging/usr/share/man/man8/scw-agent.8"));
    World::builder().run(|world| {
        fs::write("/run/script", "#!/bin/sh\n# scw-setup: frobnicate\n").expect("written");
        let output = agent(world, &["setup", "validate", "/run/script"]).out;
        let settings = output.split("the settings are ").nth(1).expect("all settings");
        let settings: Vec<_> = settings.split_whitespace().map(|word| word.trim_matches(',')).collect();
        assert_eq!(settings.len(), 7, "{settings:?}");

        // The environment with which the shell was started, without the variables that it adds.
        world.standin().set_user_data("setup-script", "#!/bin/sh\ncat /proc/$$/environ >/run/environment\n");
        assert_eq!(agent(world, &["setup", "run"]).code, 0);
        let environment = fs::read_to_string("/run/environment").expect("read");
        let variables: Vec<_> =
            environment.split_terminator('\0').filter_map(|entry| entry.split('=').next()).collect();
        assert!(variables.len() >= 12, "{variables:?}");
        for name in settings.into_iter().chain(variables) {
            assert!(listed.iter().any(|word| word == name), "{name} is not in the manual: {listed:?}");
        }
    });
}

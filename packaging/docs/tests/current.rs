//! The files in the repository are current, and the real `man`, `mandoc`, bash, zsh and fish accept them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../usr/share")
}

fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the program can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        status.success() && stderr.is_empty(),
        "{command:?}: {status}\n{}{}",
        text(&stderr),
        text(&stdout)
    );
    text(&stdout)
}

#[test]
fn files_in_the_repository_are_current() {
    for (name, text) in scw_docs::files() {
        let there = fs::read_to_string(top().join(&name)).unwrap_or_default();
        assert!(there == text, "{name} is not current: run `cargo docs`");
    }
}

#[test]
fn manual_pages_have_no_warnings() {
    for (name, _) in scw_docs::files().iter().filter(|(name, _)| name.starts_with("man/")) {
        run(Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(top().join(name)));
        let page = run(Command::new("man")
            .args(["--warnings", "-l"])
            .arg(top().join(name))
            .env("MANWIDTH", "80")
            .env("LC_ALL", "C.UTF-8"));
        assert!(page.contains("EXAMPLES") && page.contains("SEE ALSO"), "{page}");
    }
}

#[test]
fn bash_completes_commands_and_options() {
    let complete = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let script = format!(
            "set -eu; . {}/bash-completion/completions/{name}; COMP_WORDS=({}); COMP_CWORD={}; _{} ; echo \"${{COMPREPLY[*]}}\"",
            top().display(),
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            words.len() - 1,
            words[0].replace('-', "_"),
            name = words[0],
        );
        run(Command::new("bash").args(["--norc", "-c", &script])).trim().to_owned()
    };
    assert_eq!(complete("scw-agent st"), "status");
    assert_eq!(complete("scw-agent config "), "check show");
    assert_eq!(complete("scw-agent config show --def"), "--defaults");
    // Only the options of the typed command are offered, at any position, and files only where a file is expected.
    assert_eq!(complete("scw-agent setup show key --"), "--json --follow --help");
    assert_eq!(complete("scw-agent --json setup "), "list show validate run run-shutdown");
    assert_eq!(complete("scw-agent --json status --"), "--json --wait --timeout --help");
    assert_eq!(complete("scw-agent config --def"), "--defaults");
    assert_eq!(complete("scw-agent doctor --w"), "");
    assert!(complete("scw-agent setup validate /etc/host").contains("/etc/hosts"));
    assert!(complete("scw-agent setup validate /etc/hostname /etc/host").contains("/etc/hosts"));
    assert_eq!(complete("scw-agent setup show /etc/host"), "");
    assert_eq!(complete("scw-userdata key --"), "--file");
    assert_eq!(complete("scw-userdata --del"), "--delete");
    assert_eq!(complete("scw-userdata key --file /etc/host"), complete("scw-userdata key -f /etc/host"));
    assert!(complete("scw-userdata key -f /etc/host").contains("/etc/hosts"));
}

#[test]
fn fish_completes_commands_and_options() {
    let complete = |line: &str| {
        let name = line.split(' ').next().unwrap_or_default();
        let file = top().join(format!("fish/vendor_completions.d/{name}.fish"));
        run(Command::new("fish")
            .args(["--no-config", "-c", &format!("source {}; complete -C '{line}'", file.display())])
            // fish makes a folder in HOME.
            .env("HOME", env!("CARGO_TARGET_TMPDIR")))
    };
    assert!(
        complete("scw-agent stat").starts_with("status\tshow what the agent sees"),
        "{}",
        complete("scw-agent stat")
    );
    assert!(
        complete("scw-agent config ").contains("check\t") && complete("scw-agent config ").contains("show\t")
    );
    assert!(!complete("scw-agent config ").contains("doctor"));
    assert!(complete("scw-agent config show --").contains("--defaults\t"));
    assert!(!complete("scw-agent doctor --").contains("--defaults"));
    assert!(!complete("scw-agent config show --").contains("--version"));
    assert!(complete("scw-agent setup validate /etc/host").contains("/etc/hosts"));
    assert!(!complete("scw-agent setup show /etc/host").contains("/etc/hosts"));
    assert!(complete("scw-userdata --del").contains("--delete"));
    assert!(complete("scw-userdata key --file /etc/host").contains("/etc/hosts"));
    let after_key = complete("scw-userdata key --");
    assert!(after_key.contains("--file") && !after_key.contains("--delete"), "{after_key}");
}

/// zsh completes only in an interactive shell. The test starts one in a pseudo-terminal, and reads the list of matches.
#[test]
fn zsh_completes_commands_and_options() {
    let complete = |line: &str, last: &str| {
        let script = format!(
            "zmodload zsh/zpty; zpty z zsh -f -i; zpty -w z \"PS1=; fpath=({}/zsh/site-functions \\$fpath); autoload -U compinit; compinit -u -D; bindkey '^I' list-choices; print rea''dy\"; zpty -r -m z seen '*ready*'; zpty -w -n z $'{line}\\t'; zpty -r -m z seen '*{last}*'; print -r -- $seen; zpty -d z",
            fs::canonicalize(top()).expect("there").display()
        );
        // If the expected text never appears, `timeout` ends the test.
        run(Command::new("timeout")
            .args(["60", "zsh", "-f", "-c", &script])
            .env("TERM", "dumb")
            .env("COLUMNS", "200"))
    };
    let seen = complete("scw-agent config ", "print the settings");
    assert!(seen.contains("check") && seen.contains("show") && seen.contains("print the settings"), "{seen}");
    let seen = complete("scw-agent host-keys --", "wait first if");
    assert!(seen.contains("--host") && seen.contains("--json"), "{seen}");
    let seen = complete("scw-agent setup show --", "answer in JSON");
    assert!(seen.contains("--follow") && !seen.contains("--again") && !seen.contains("--host"), "{seen}");
    let seen = complete("scw-agent status --", "wait until the work");
    assert!(seen.contains("--wait") && !seen.contains("--again"), "{seen}");
    let seen = complete("scw-agent setup validate /etc/host", "hosts");
    assert!(seen.contains("hostname"), "{seen}");
    let seen = complete("scw-userdata key --file /etc/host", "hosts");
    assert!(seen.contains("hostname"), "{seen}");
    let seen = complete("scw-userdata --", "show the version");
    assert!(seen.contains("--file") && seen.contains("take the value"), "{seen}");
}

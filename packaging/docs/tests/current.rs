//! The generated files and parts of pages are current, and the real `journalctl`, `man`, `mandoc`, bash, zsh and fish accept them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use scw_agent::command::AGENT;
use scw_docs::event_ids;
use scw_known_hosts::command::arguments;
use scw_known_hosts::command::exit::Exit;

/// The checkout.
fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folder of what packages have in /usr/share.
fn top() -> PathBuf {
    checkout().join("packaging/usr/share")
}

fn read(name: &str) -> String {
    fs::read_to_string(checkout().join(name)).unwrap_or_default()
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
        assert!(read(&name) == text, "{name} is not current: run `cargo docs`");
    }
}

#[test]
fn parts_of_the_reference_are_current() {
    let parts = scw_docs::parts(&read(scw_docs::SCHEMA));
    assert!(parts.len() > 5);
    for part in parts {
        let page = read(part.page);
        let current = part.in_page(&page);
        assert!(
            current == Some(page),
            "{}: the part `{}` is not current: run `cargo docs`",
            part.page,
            part.name
        );
    }
}

#[test]
fn exit_codes_of_every_command_are_listed() {
    let page = read("docs/reference/exit-codes.md");
    let listed = |command: &str| {
        page.lines().any(|line| line.starts_with("| ") && line.contains(&format!("`{command}`")))
    };
    let commands = scw_docs::commands(&AGENT).into_iter().map(|words| words.join(" "));
    for command in commands.filter(|command| command != "help") {
        assert!(listed(&command), "`{command}` is not in docs/reference/exit-codes.md");
    }
    assert!(listed("scw-userdata"));
}

/// Each variant of the source is a row, since the names are stable.
#[test]
fn each_diagnosis_is_listed() {
    let source = read("src/doctor/diagnosis.rs");
    let variants = source.split("pub enum Diagnosis {").nth(1).and_then(|rest| rest.split("\n}").next());
    let variants = variants.expect("the enum").lines().filter(|line| line.ends_with(','));
    let page = read("docs/reference/json.md");
    let rows = page.split("<!-- written by cargo docs: diagnoses -->").nth(1).expect("the part");
    let rows =
        rows.split("<!-- end -->").next().expect("its end").lines().filter(|line| line.starts_with("| `"));
    assert_eq!(rows.count() - 1, variants.count());
}

/// Every 32-digit word in a text that stands between these characters.
fn ids(text: &str, quote: char) -> BTreeSet<String> {
    let words = text.split(quote).filter(|word| word.len() == 32);
    words.filter(|word| word.bytes().all(|byte| byte.is_ascii_hexdigit())).map(str::to_owned).collect()
}

/// The real journalctl compiles the catalog, and has an entry for each id that the agent logs, and for no other.
#[test]
fn catalog_has_an_entry_for_each_event() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("catalog");
    let _ = fs::remove_dir_all(&root);
    let folder = root.join("usr/lib/systemd/catalog");
    fs::create_dir_all(&folder).expect("made");
    fs::create_dir_all(root.join("var/lib/systemd/catalog")).expect("made");
    let source = "packaging/usr/lib/systemd/catalog/scw-agent.catalog";
    fs::copy(checkout().join(source), folder.join("scw-agent.catalog")).expect("copied");
    let journalctl = |words: &[&str]| {
        run(Command::new("journalctl").arg("--root").arg(&root).args(words).env("LC_ALL", "C.UTF-8"))
    };
    journalctl(&["--update-catalog"]);
    let logged = ids(&read("src/util/events.rs"), '"');
    assert_eq!(logged, event_ids().into_iter().map(str::to_owned).collect());
    let listed = journalctl(&["--list-catalog"]);
    let listed: BTreeSet<_> =
        listed.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    assert_eq!(listed, logged);
    for id in logged {
        let entry = journalctl(&["--dump-catalog", &id]);
        assert!(
            entry.contains("Subject: ")
                && entry.contains("Defined-By: scw-agent")
                && entry.lines().count() > 6,
            "{entry}"
        );
    }
}

#[test]
fn manual_pages_have_no_warnings() {
    let files = scw_docs::files().into_iter().map(|(name, _)| name);
    for name in files.filter(|name| name.contains("/man/")).chain([scw_docs::CLIENT_PAGE.to_owned()]) {
        run(Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(checkout().join(&name)));
        let page = shown(&name);
        assert!(page.contains("EXAMPLES") && page.contains("SEE ALSO"), "{page}");
    }
}

/// A manual page as `man` shows it.
fn shown(name: &str) -> String {
    let mut man = Command::new("man");
    man.args(["--warnings", "-l"]).arg(checkout().join(name));
    run(man.env("MANWIDTH", "80").env("LC_ALL", "C.UTF-8"))
}

/// The page is written by hand. Each command begins a paragraph, with its options below it.
#[test]
fn manual_page_of_the_client_has_each_command_and_option() {
    let page = shown(scw_docs::CLIENT_PAGE);
    let (_, commands) = page.split_once("\nCOMMANDS\n").expect("the section");
    let (commands, rest) = commands.split_once("\nCHECKING\n").expect("the next section");
    let mut described = arguments::command();
    described.build();
    for command in described.get_subcommands() {
        let name = command.get_name();
        let is_heading = |line: &&str| line.split(' ').next() == Some(name);
        let mut lines = commands.lines().filter_map(|line| line.strip_prefix("     "));
        assert!(lines.by_ref().any(|line| is_heading(&line)), "{name} is not in the page");
        let of_command: Vec<_> = lines.take_while(|line| line.is_empty() || line.starts_with(' ')).collect();
        let options = command.get_arguments().filter_map(|argument| argument.get_long());
        for option in options.filter(|option| *option != "help") {
            let is_described = of_command
                .iter()
                .any(|line| line.trim().split([' ', '[']).next() == Some(&format!("--{option}")));
            assert!(is_described, "{name} --{option} is not in the page");
        }
    }
    for option in described.get_arguments().filter_map(|argument| argument.get_long()) {
        assert!(commands.contains(&format!("--{option}")), "--{option} is not in the page");
    }
    for (exit, _) in Exit::MEANINGS {
        assert!(rest.contains(&format!("\n     {}   ", exit as u8)), "{exit:?} is not in the page");
    }
}

#[test]
fn bash_completes_commands_and_options() {
    let complete = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let script = format!(
            // What bash itself does: the function that `complete -F` named gets the program, the word and the one before.
            "set -eu; . {}/bash-completion/completions/{name}; COMP_WORDS=({}); COMP_CWORD={last}; \
             function=$(complete -p {name} | sed 's/.* -F \\([^ ]*\\) .*/\\1/'); \
             $function {name} \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[*]}}\"",
            top().display(),
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            last = words.len() - 1,
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
    assert_eq!(complete("scw-known-hosts ver"), "verify");
    assert_eq!(complete("scw-known-hosts setup --unknown "), "ask refuse");
    assert_eq!(complete("scw-known-hosts show --"), "--wait --json --help");
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
    assert!(complete("scw-known-hosts ver").starts_with("verify\tCompare the keys"));
    assert!(complete("scw-known-hosts setup --unknown=").contains("--unknown=refuse\t"));
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
    let seen = complete("scw-agent host-keys --", "wait first after");
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
    let seen = complete("scw-known-hosts show --", "Wait until the Instance");
    assert!(seen.contains("--json") && !seen.contains("--file"), "{seen}");
}

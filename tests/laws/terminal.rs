//! Text from outside cannot control a terminal or add a line to a log: names, values, the output of scripts, file names.

use std::fs;

use scw_agent::util::is_shown;
use scw_stage::{Daemon, Journald, World};

use crate::machine::*;

/// A key with characters that change the order of a line or break it.
const KEY: &str = "setup-script.a\u{202e}b\u{2028}c\u{200f}";
/// Sets the title, clears the screen, goes back in the line; with an 8-bit control character, a bell, and bytes that are not UTF-8.
const OUTPUT: &str = r"\033]0;title\007\033[2Jcleared\rover\302\2332J\377\tend";
const RAW: &[u8] = b"\x1b]0;title\x07\x1b[2Jcleared\rover\xc2\x9b2J\xff\tend";

/// The output of a command to a terminal, which is its standard output and its standard error.
fn terminal_output(world: &World, command: &str) -> String {
    // The program `script` of util-linux opens a new terminal.
    let mut terminal = world.command("script");
    terminal.args(["-qefc", command, "/dev/null"]).stdin(std::process::Stdio::null());
    String::from_utf8(terminal.output().expect("started").stdout).expect("only UTF-8")
}

/// Removes the agent's own control characters: the colours of rows, the line that `status --wait` erases, and the terminal's line ends.
fn without_own_controls(text: &str) -> String {
    let own = ["\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m", "\r\x1b[K", "\r\n"];
    own.iter().fold(text.to_owned(), |text, own| text.replace(own, if *own == "\r\n" { "\n" } else { "" }))
}

fn assert_harmless(what: &str, text: &str) {
    let controls: Vec<_> = without_own_controls(text)
        .chars()
        .filter(|c| *c != '\n' && !is_shown(*c))
        .map(char::escape_unicode)
        .collect();
    assert!(controls.is_empty(), "{what}: {} in {text:?}", controls[0]);
}

/// Puts control and invisible characters into everything that the programs show.
fn add_control_characters(world: &World) {
    make_host_key(world);
    let comment = "c\x1b[31m\u{202e}";
    let public = "/etc/ssh/ssh_host_ed25519_key.pub";
    let key = fs::read_to_string(public).expect("read");
    let key: Vec<_> = key.split(' ').take(2).chain([comment]).collect();
    fs::write(public, key.join(" ")).expect("written");
    let mut conf = world.standin().conf();
    conf["name"] = "name\x1b]0;x\x07\u{202e}".into();
    conf["tags"] = vec!["tag\x1b[31m\u{202e}\nx"].into();
    conf["volumes"]["0\x1b[31m\nx"] = serde_json::json!({"name": "name\x1b[31m\u{202e}\nx"});
    world.standin().set_conf(conf);
    world.standin().set_user_data(KEY, format!("#!/bin/sh\nprintf '{OUTPUT}\\n'\nexit 3\n"));
    world.standin().set_user_data("value", RAW);
    let drop_in = "/etc/scw-agent.toml.d/10-\u{1b}[31m\u{202e}.toml";
    fs::create_dir_all("/etc/scw-agent.toml.d").expect("made");
    fs::write(drop_in, "[setup]\ntimeout = \"5m\"\n").expect("written");
    fs::write("/etc/scw-agent.toml.d/20-bad.toml", "\"sec\\u001btion\\u202e\\nx\" = 1\n").expect("written");
    fs::write("/run/odd\u{202e}\u{1b}[31m.sh", "#!/bin/sh\n").expect("written");
    fs::write("/var/lib/scw-agent/odd\u{202e}\n\u{1b}[31m", "").expect("written");
}

/// Commands whose output is checked on a terminal; AGENT, userdata_program() and KEY are replaced.
const COMMANDS: [&str; 36] = [
    "AGENT setup run",
    "AGENT setup run 'KEY' --again",
    "AGENT setup list",
    "AGENT setup list --json",
    "AGENT setup show 'KEY'",
    "AGENT setup show 'KEY' --json",
    "AGENT setup show 'KEY.none'",
    "AGENT setup run 'KEY.none'",
    "AGENT status",
    "AGENT status --json",
    "AGENT status --wait --timeout 10s",
    "AGENT doctor",
    "AGENT doctor --json",
    "AGENT instance",
    "AGENT instance --json",
    "AGENT volumes",
    "AGENT volumes --json",
    "AGENT host-keys show",
    "AGENT host-keys show --json",
    "AGENT host-keys ensure",
    "AGENT setup validate /run/odd*.sh",
    "AGENT setup validate --json /run/odd*.sh",
    "AGENT config check",
    "AGENT config check --json",
    "AGENT config show",
    "AGENT sysprep --dry-run",
    "AGENT 'KEY'",
    "AGENT setup",
    "AGENT help 'KEY'",
    "AGENT setup show 'KEY' 'KEY'",
    "USERDATA",
    "USERDATA --json",
    "USERDATA value",
    "USERDATA --json value",
    "USERDATA 'KEY'",
    "USERDATA 'KEY.none'",
];

#[test]
fn s3_no_outside_text_controls_a_terminal() {
    World::builder().run(|world| {
        add_control_characters(world);
        let daemon = start_daemon(world);
        wait_until_settled(world);
        let mut seen = String::new();
        for command in COMMANDS {
            let words =
                command.replace("AGENT", AGENT).replace("USERDATA", userdata_program()).replace("KEY", KEY);
            let shown = terminal_output(world, &words);
            assert!(!shown.is_empty(), "{command} printed nothing");
            assert_harmless(command, &shown);
            // A line stays one line.
            assert!(
                !without_own_controls(&shown).lines().any(|line| line.starts_with('x')),
                "{command}: {shown:?}"
            );
            seen += &shown;
        }
        // The characters are shown in escaped form.
        for text in [
            r"setup-script.a\u{202e}b\u{2028}c\u{200f}",
            r"\u{1b}[2Jcleared\rover\u{9b}2J",
            r"\xff",
            r"\u202e",
        ] {
            assert!(seen.contains(text), "{text} is not in {seen:?}");
        }
        assert_harmless("the daemon's log", &daemon.terminate().1);
    });
}

#[test]
fn s3_only_values_go_raw_to_a_pipe() {
    World::builder().run(|world| {
        add_control_characters(world);
        let daemon = start_daemon(world);
        let ran = agent(world, &["setup", "run"]);
        assert_harmless("standard error of a run", &ran.err);
        let value = world.command(userdata_program()).arg("value").output().expect("started").stdout;
        assert_eq!(value, RAW);
        let shown = agent(world, &["setup", "show", KEY]).out;
        // The record contains text: bytes that are not UTF-8 were replaced.
        assert!(shown.contains(&*String::from_utf8_lossy(RAW)), "{shown:?}");
        for words in [
            &["setup", "list"][..],
            &["status"],
            &["status", "--json"],
            &["setup", "show", "none\u{202e}"],
            &["host-keys", "show"],
            &["config", "check"],
            &["config", "show"],
            &["sysprep", "--dry-run"],
        ] {
            let ended = agent(world, words);
            assert_harmless(&words.join(" "), &(ended.out + &ended.err));
        }
        daemon.terminate();
    });
}

#[test]
fn s2_journal_entry_is_one_line_without_added_fields() {
    World::builder().run(|world| {
        let journald = Journald::start(world).expect("journald");
        add_control_characters(world);
        // A process can choose its own name.
        let script = "#!/bin/sh\nsh -c 'printf \"x\\nPRIORITY=0\" > /proc/$$/comm; sleep 4721; :' >/dev/null 2>&1 &\nuntil grep -q PRIORITY /proc/$!/comm; do sleep 0.02; done\nprintf 'two\\nlines\\n'\n";
        world.standin().set_user_data("setup-script.process", script);
        let notify = scw_stage::Notify::new(world).expect("a socket");
        let mut command = logging_to_journal(world, "daemon");
        let daemon = Daemon::spawn(command.env("NOTIFY_SOCKET", notify.path())).expect("started");
        assert!(notify.wait_for("READY=1", LONG), "{}", daemon.output());
        run(&mut logging_to_journal(world, "setup run"));
        run(&mut logging_to_journal(world, "setup run --again"));
        let entries: Vec<serde_json::Value> = journald
            .entries(world, &["SCW_SCRIPT=setup-script.process"])
            .expect("read")
            .iter()
            .map(|entry| serde_json::from_str(entry).expect("JSON"))
            .collect();
        let messages: Vec<_> = entries.iter().map(|entry| entry["MESSAGE"].as_str().expect("text").to_owned()).collect();
        assert!(messages.iter().any(|message| message.contains("leftover processes: x\\nPRIORITY=0 (")), "{messages:#?}");
        assert!(entries.iter().all(|entry| entry["PRIORITY"] == "6"), "{entries:#?}");
        for entry in journald.entries(world, &["_TRANSPORT=journal"]).expect("read") {
            let entry: serde_json::Value = serde_json::from_str(&entry).expect("JSON");
            // A message that is not text is a list of bytes.
            let message = match &entry["MESSAGE"] {
                serde_json::Value::Array(bytes) => {
                    let bytes = bytes.iter().filter_map(|byte| u8::try_from(byte.as_u64()?).ok());
                    String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
                }
                message => message.as_str().expect("text").to_owned(),
            };
            assert!(!message.contains(['\n', '\u{2028}', '\u{85}']), "{message:?}");
        }
        daemon.terminate();
    });
}

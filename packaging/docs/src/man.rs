//! The manual pages. This module has the texts that only a manual needs (examples, files). All other texts are in the tables.

use scw_agent::command::{AGENT, Argument, Form, Operand, Opt, Program, USERDATA};
use scw_agent::settings::{FILE, FOLDERS, KEYS, Settings};

use crate::guest_pages::Page;
use crate::scripts;

/// The date of the last change that a reader would notice.
const DATE: &str = "2026-11-29";

/// The rows of a table in a section: what the user types, and its description.
pub(crate) type Rows<'a> = &'a [(&'a str, &'a str)];

const AGENT_FILES: Rows<'_> = &[
    ("/etc/scw-agent.toml", "The configuration, which need not be there; see scw-agent.toml(5)."),
    (
        "/run/scw-agent/api.sock",
        "Where the daemon is asked: HTTP with the Metadata API's own paths, and /status.",
    ),
    (
        "/dev/console",
        "Where the start and the outcome of scripts and the fingerprints of the host keys are told, unless the configuration says otherwise.",
    ),
    (
        "/usr/share/scw-agent/metadata.nft",
        "Rules of nftables that keep the metadata service for root and the agent, where `doctor` says that others reach it. Load them with `nft --file`.",
    ),
    (
        "/usr/lib/udev/rules.d/65-scw-volumes.rules",
        "The rule for udev that names volumes /dev/disk/scw/volume-UUID, and their partitions /dev/disk/scw/volume-UUID-partN.",
    ),
    (
        "/var/lib/scw-agent",
        "Which Instance the disk belongs to, the records of scripts, the public keys that were replaced. For root alone.",
    ),
];

const AGENT_EXAMPLES: Rows<'_> = &[
    ("scw-agent status", "See at a glance what is well and what is not."),
    ("scw-agent status --json | jq -r .fingerprints.state", "Ask one thing in a script."),
    ("scw-agent doctor", "Find out why the metadata service cannot be reached."),
    (
        "scw-agent host-keys known-hosts --host 192.0.2.1 >> ~/.ssh/known_hosts",
        "Print the keys for a client.",
    ),
    ("curl --unix-socket /run/scw-agent/api.sock http://x/status", "Ask the daemon without this program."),
];

const USERDATA_EXAMPLES: Rows<'_> = &[
    ("scw-userdata", "List the keys."),
    ("scw-userdata colour blue", "Set a key."),
    ("scw-userdata token \"$token\"", "Set a key to text that may begin with `-`."),
    ("scw-userdata --delete colour", "Delete a key."),
    ("scw-userdata setup-script --file install.sh", "Leave a script that runs at the next boot."),
    (
        "scw-userdata colour || [ $? = 3 ]",
        "Read a key that need not be there: exit code 3 says that it is not.",
    ),
    ("tar -cz etc | scw-userdata backup --file -", "Set a key to bytes from standard input."),
];

pub(crate) fn agent() -> String {
    let mut text = head("scw-agent", 8, AGENT.about);
    synopsis(&mut text, &AGENT);
    section(&mut text, "DESCRIPTION");
    paragraph(
        &mut text,
        "The agent makes the machine's SSH host keys before sshd starts, publishes their fingerprints as the user data key ssh-host-fingerprints, runs the scripts that the owner left in user data, and answers questions about the Instance. systemd starts it: the commands that are said to be run by a unit are not for people.",
    );
    section(&mut text, "COMMANDS");
    forms(&mut text, &AGENT);
    options_and_exit_codes(&mut text, &AGENT);
    section(&mut text, "USER DATA KEYS");
    rows(&mut text, scripts::KEYS);
    section(&mut text, "SCRIPTS");
    scripts::ABOUT.iter().for_each(|words| paragraph(&mut text, words));
    verbatim(&mut text, scripts::EXAMPLE);
    paragraph(&mut text, scripts::WRONG);
    rows(&mut text, scripts::SETTINGS);
    section(&mut text, "ENVIRONMENT OF SCRIPTS");
    bold_rows(&mut text, scripts::VARIABLES);
    section(&mut text, "CLOUD-INIT");
    scripts::CLOUD_INIT.iter().for_each(|words| paragraph(&mut text, words));
    section(&mut text, "FILES");
    rows(&mut text, AGENT_FILES);
    examples(&mut text, AGENT_EXAMPLES);
    see_also(&mut text, &["scw-userdata(1)", "scw-agent.toml(5)", "systemctl(1)"]);
    text
}

pub(crate) fn userdata() -> String {
    let mut text = head("scw-userdata", 1, USERDATA.about);
    synopsis(&mut text, &USERDATA);
    section(&mut text, "DESCRIPTION");
    paragraph(
        &mut text,
        "User data are keys and values that belong to the Instance. The owner sees and sets them from outside, too. The daemon of scw-agent(8) is asked, and the metadata service itself where no daemon runs. Only root may do that, and the members of the groups that read-group and write-group in scw-agent.toml(5) name.",
    );
    paragraph(&mut text, &USERDATA.notes.join(" "));
    paragraph(&mut text, "A value has at least one byte, and at most 1048576 bytes.");
    forms(&mut text, &USERDATA);
    options_and_exit_codes(&mut text, &USERDATA);
    examples(&mut text, USERDATA_EXAMPLES);
    see_also(&mut text, &["scw-agent(8)", "scw-agent.toml(5)"]);
    text
}

/// The page of a guest command.
pub(crate) fn guest(program: &Program, page: &Page) -> String {
    let mut text = head(program.name, page.section, program.about);
    synopsis(&mut text, program);
    section(&mut text, "DESCRIPTION");
    if !program.notes.is_empty() {
        paragraph(&mut text, &program.notes.join(" "));
    }
    paragraph(
        &mut text,
        "The command is a name of scw-agent(8). It replaces the one of Scaleway's images that has the same name; the package's documentation names the differences.",
    );
    forms(&mut text, program);
    options_and_exit_codes(&mut text, program);
    examples(&mut text, page.examples);
    see_also(&mut text, &["scw-agent(8)", "scw-userdata(1)"]);
    text
}

pub(crate) fn configuration() -> String {
    let about = "The configuration of the agent of a Scaleway Instance.";
    let mut text = head("scw-agent.toml", 5, about);
    section(&mut text, "SYNOPSIS");
    paragraph(&mut text, FILE);
    for folder in FOLDERS.iter().rev() {
        paragraph(&mut text, &format!("{folder}/*.toml"));
    }
    section(&mut text, "DESCRIPTION");
    paragraph(
        &mut text,
        "Nothing must be configured. The main file counts first, then the drop-ins of all folders in the order of their names: what comes later wins. Of drop-ins with the same name only the one in the folder that is named first here counts; a link to /dev/null switches one off. A file with a fault does not count as a whole; the others and the defaults do.",
    );
    paragraph(&mut text, "A length of time is written as in \"90s\" or \"1h 30m\".");
    let defaults = Settings::default();
    let mut last = "";
    for key in KEYS {
        if key.section != last {
            section(&mut text, &format!("[{}]", key.section));
            last = key.section;
        }
        row(&mut text, &bold(key.name), &format!("{} Default: {}", key.about, (key.value)(&defaults)));
    }
    examples(
        &mut text,
        &[
            ("scw-agent config check", "See whether the files are good."),
            ("scw-agent config show", "See what holds, and where it comes from."),
            ("systemctl reload scw-agent", "Have the daemon read them again."),
        ],
    );
    see_also(&mut text, &["scw-agent(8)"]);
    text
}

fn head(name: &str, number: u8, about: &str) -> String {
    let about = about.trim_end_matches('.');
    format!(
        ".\\\" Made by packaging/docs; do not edit.\n.TH {} {number} {DATE} \"scw-agent {}\" \"scw-agent\"\n.SH NAME\n{} \\- {}\n",
        escaped(name),
        env!("CARGO_PKG_VERSION"),
        escaped(name),
        escaped(about)
    )
}

fn synopsis(text: &mut String, program: &Program) {
    section(text, "SYNOPSIS");
    for (index, form) in program.forms.iter().enumerate() {
        let line_end = if index > 0 { ".br\n" } else { "" };
        text.push_str(
            &format!("{line_end}.B {}\n{}\n", escaped(program.name), form_text(form)).replace("\n\n", "\n"),
        );
    }
}

/// A row for each form.
fn forms(text: &mut String, program: &Program) {
    for form in program.forms {
        let typed = form_text(form);
        row(text, if typed.is_empty() { "\\fB(nothing)\\fR" } else { &typed }, form.effect);
    }
}

fn options_and_exit_codes(text: &mut String, program: &Program) {
    section(text, "OPTIONS");
    for option in program.options {
        let accepting = program.forms.iter().filter(|form| form.accepts(option));
        let forms: Vec<_> = accepting.map(|form| format!("`{}`", form.text())).collect();
        let note = if forms.is_empty() { String::new() } else { format!(" (with {})", forms.join(", ")) };
        let short = option.short.map(|letter| bold(&format!("-{letter},")) + " ").unwrap_or_default();
        row(text, &(short + &long_option(option)), &format!("{}{note}", option.effect));
    }
    section(text, "EXIT STATUS");
    for (exit, meaning) in program.exit_codes {
        row(text, &bold(&(*exit as u8).to_string()), meaning);
    }
}

fn section(text: &mut String, name: &str) {
    text.push_str(&format!(".SH \"{}\"\n", escaped(name)));
}

fn paragraph(text: &mut String, words: &str) {
    if !text.ends_with(&['"', '\n'][..]) || !text.lines().last().is_some_and(|line| line.starts_with(".SH")) {
        text.push_str(".PP\n");
    }
    text.push_str(&format!("{}\n", escaped(words)));
}

/// Lines without line filling.
fn verbatim(text: &mut String, lines: &[&str]) {
    text.push_str(".PP\n.nf\n");
    lines.iter().for_each(|line| text.push_str(&format!("{}\n", escaped(line))));
    text.push_str(".fi\n");
}

fn rows(text: &mut String, rows: Rows<'_>) {
    for (typed, effect) in rows {
        let words: Vec<_> = typed.split(' ').map(bold).collect();
        row(text, &words.join(" "), effect);
    }
}

/// One row, whose left side has its fonts already.
fn row(text: &mut String, typed: &str, effect: &str) {
    text.push_str(&format!(".TP\n{typed}\n{}\n", escaped(effect)));
}

fn examples(text: &mut String, examples: Rows<'_>) {
    section(text, "EXAMPLES");
    bold_rows(text, examples);
}

fn bold_rows(text: &mut String, rows: Rows<'_>) {
    for (typed, effect) in rows {
        text.push_str(&format!(".TP\n.B {}\n{}\n", escaped(typed), escaped(effect)));
    }
}

fn see_also(text: &mut String, pages: &[&str]) {
    section(text, "SEE ALSO");
    let pages: Vec<_> = pages
        .iter()
        .filter_map(|page| page.trim_end_matches(')').split_once('('))
        .map(|(name, number)| format!(".BR {} ({number})", escaped(name)))
        .collect();
    text.push_str(&format!("{}\n", pages.join(" ,\n")));
}

/// The words and arguments of a form.
fn form_text(form: &Form) -> String {
    let words = form.words.iter().map(|word| bold(word));
    let arguments = form.arguments.iter().map(|argument| match argument {
        Argument::One(operand) => placeholder(*operand, ""),
        Argument::Several(operand) => placeholder(*operand, "…"),
        Argument::Option(option) => long_option(option),
    });
    words.chain(arguments).collect::<Vec<_>>().join(" ")
}

/// An option's long name, and its value.
fn long_option(option: &Opt) -> String {
    let value = option.value.map(|value| format!(" {}", placeholder(value, ""))).unwrap_or_default();
    bold(&format!("--{}", option.long)) + &value
}

/// A text that the user types.
fn bold(text: &str) -> String {
    format!("\\fB{}\\fR", escaped(text))
}

/// A placeholder, in italics.
fn placeholder(operand: Operand, suffix: &str) -> String {
    format!("\\fI{}{suffix}\\fR", operand.placeholder())
}

/// Escapes a text, so that roff does not interpret it as a request.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('`', "\\(ga");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

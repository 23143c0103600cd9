//! The events with a fixed id in the journal: one table for docs/reference/journal.md and for the journal's message catalog. A test compares
//! the ids with those that the agent logs.

use crate::markdown;

/// Where the events of a unit come from: the identifier in the journal.
const SETUP: &str = "scw-agent-setup";
const HOST_KEYS: &str = "scw-agent-hostkeys";
const DAEMON: &str = "scw-agent";

/// The address in each entry of the catalog, the same as in the packages.
const SUPPORT: &str = "https://www.scaleway.com";
/// The width of the catalog's lines, as in the catalog of systemd.
const WIDTH: usize = 72;

struct Event {
    id: &'static str,
    /// The subject. `@FIELD@` is a field of the entry, as in a catalog.
    subject: &'static str,
    identifier: &'static str,
    level: &'static str,
    /// The fields besides those that each entry has.
    fields: &'static [&'static str],
    /// When it is logged.
    when: &'static str,
    /// What to do about it.
    advice: &'static str,
}

const EVENTS: [Event; 10] = [
    Event {
        id: "fa4e3be5bbf54511870522886e67b11b",
        subject: "Script @SCW_SCRIPT@ was started",
        identifier: SETUP,
        level: "info",
        fields: &["SCW_SCRIPT", "SCW_INSTANCE_ID"],
        when: "The setup runner started an attempt of the script in the user data key @SCW_SCRIPT@. The message has the number of the attempt. The lines that the script prints follow.",
        advice: "No action is needed. `scw-agent setup show @SCW_SCRIPT@ --follow` shows the output while the script runs.",
    },
    Event {
        id: "f4dcd7b7e98848b98537e8fb91c2c774",
        subject: "Script @SCW_SCRIPT@ succeeded",
        identifier: SETUP,
        level: "info",
        fields: &["SCW_SCRIPT", "SCW_INSTANCE_ID", "SCW_EXIT_STATUS"],
        when: "The script ended with exit code 0.",
        advice: "No action is needed.",
    },
    Event {
        id: "cd5e62b229694a7f869732ff08735d16",
        subject: "Script @SCW_SCRIPT@ failed",
        identifier: SETUP,
        level: "err",
        fields: &["SCW_SCRIPT", "SCW_INSTANCE_ID", "SCW_EXIT_STATUS (not if a signal killed it)"],
        when: "The script ended with another exit code than 0, or a signal killed it. The message says which. The other scripts of this boot run all the same.",
        advice: "`scw-agent setup show @SCW_SCRIPT@` shows the end of its output. A setup script that failed runs again only when its content changes. `scw-agent setup run @SCW_SCRIPT@ --again` runs it now.",
    },
    Event {
        id: "e4814376c30f4dc181babb663024e2dd",
        subject: "Script @SCW_SCRIPT@ timed out",
        identifier: SETUP,
        level: "err",
        fields: &["SCW_SCRIPT", "SCW_INSTANCE_ID"],
        when: "The script ran until its timeout. It and all processes that it started got SIGTERM. Those that still ran ten seconds later got SIGKILL.",
        advice: "`scw-agent setup show @SCW_SCRIPT@` shows where it was. If it needs more time, set a longer timeout in the script (`# scw-setup: timeout=2h`), or set timeout in section [setup] of scw-agent.toml(5). At shutdown, shutdown-timeout is the limit.",
    },
    Event {
        id: "f8cc06de33874d87b31f025155124373",
        subject: "Script @SCW_SCRIPT@ was not run",
        identifier: SETUP,
        level: "err",
        fields: &["SCW_SCRIPT", "SCW_INSTANCE_ID (if a run was recorded)"],
        when: "The script could not be started, or it is not known how it ended. The message says why. Examples: the value does not begin with #!, a setting in it is unknown, its interpreter or its user does not exist.",
        advice: "If the message names a fault of the value, correct it and set it again; `scw-agent setup validate FILE` checks it on any machine. A script that could not be started is tried again at the next boot. One whose end is not known does not run again by itself; `scw-agent setup run @SCW_SCRIPT@ --again` runs it.",
    },
    Event {
        id: "eabac8fbc1f0485e947f716d1a757907",
        subject: "Script @SCW_SCRIPT@ was cut off",
        identifier: SETUP,
        level: "warning",
        fields: &["SCW_SCRIPT"],
        when: "The setup runner was stopped while the script ran: the machine went down, or scw-agent-setup.service was stopped.",
        advice: "A setup script that was cut off runs again at the next boot. After three boots in a row, or five times, it does not run any more: `scw-agent setup run @SCW_SCRIPT@ --again` runs it then.",
    },
    Event {
        id: "20122af9ce1d4215abb3cdc1dc8cee1a",
        subject: "Script @SCW_SCRIPT@ left processes running",
        identifier: SETUP,
        level: "info",
        fields: &["SCW_SCRIPT"],
        when: "The script ended, and processes that it started still run. The message has their names and process ids. They are not killed. What they print still goes to the journal.",
        advice: "No action is needed if this is intended. A systemd service is the better way to start a program that is to stay.",
    },
    Event {
        id: "7f5735ae5ad54304b974202b73101832",
        subject: "SSH host keys were made",
        identifier: HOST_KEYS,
        level: "info",
        fields: &[],
        when: "A host key was missing or invalid, or the disk belongs to another Instance. The message has the names of the new keys.",
        advice: "No action is needed. An SSH client that knows older keys of this address warns: compare the new fingerprints with the user data key ssh-host-fingerprints.",
    },
    Event {
        id: "5b641dbdf0be4869887a9c46733f1ef0",
        subject: "The fingerprints of the SSH host keys were published",
        identifier: DAEMON,
        level: "info",
        fields: &[],
        when: "The daemon stored the fingerprints of the keys that sshd serves in the user data key ssh-host-fingerprints, and read them back.",
        advice: "No action is needed. If this comes again and again, another program overwrites or deletes that key.",
    },
    Event {
        id: "c52fb9fd45ad46db88d2098ea4657890",
        subject: "This disk belongs to another Instance now",
        identifier: HOST_KEYS,
        level: "warning; info if the host keys were made in this boot",
        fields: &["SCW_INSTANCE_ID (the new Instance)"],
        when: "The disk was recorded as another Instance's: it is a clone, or it was restored from a backup. The message says what became of the host keys, and where the old public keys are.",
        advice: "No action is needed if new host keys were made. If they are kept because of regenerate in section [host-keys] of scw-agent.toml(5), two Instances may have the same host keys.",
    },
];

/// All ids, in the order of the table.
pub fn event_ids() -> Vec<&'static str> {
    EVENTS.iter().map(|event| event.id).collect()
}

/// The source of the journal's message catalog; see systemd.journal-fields(7) and journalctl(1).
pub(crate) fn catalog() -> String {
    let mut text = String::from("# Made by packaging/docs; do not edit.\n");
    for event in &EVENTS {
        text.push_str(&format!(
            "\n-- {}\nSubject: {}\nDefined-By: scw-agent\nSupport: {}\nDocumentation: man:scw-agent(8)\n\n",
            event.id, event.subject, SUPPORT
        ));
        text.push_str(&format!("{}\n{}", filled(event.when), filled(event.advice)));
    }
    text
}

/// The part of docs/reference/journal.md.
pub(crate) fn reference() -> String {
    let rows = EVENTS.iter().map(|event| vec![words(event.subject), code(event.id)]);
    let mut text = markdown::table(&["event", "`MESSAGE_ID`"], rows);
    for event in &EVENTS {
        let fields = match event.fields {
            [] => "none of its own".to_owned(),
            fields => fields.iter().map(|field| field_name(field)).collect::<Vec<_>>().join(", "),
        };
        text.push_str(&format!(
            "\n### {}\n\n- `MESSAGE_ID`: `{}`\n- identifier: `{}`; priority: {}\n- fields: {fields}\n\n{}\n\n**What to do.** {}\n",
            words(event.subject),
            event.id,
            event.identifier,
            event.level,
            words(event.when),
            words(event.advice)
        ));
    }
    text
}

/// A catalog's text for a page: the page names no particular script.
fn words(text: &str) -> String {
    text.replace("@SCW_SCRIPT@", "KEY")
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

/// The name of a field as code; what follows it stays.
fn field_name(field: &str) -> String {
    match field.split_once(' ') {
        Some((name, rest)) => format!("`{name}` {rest}"),
        None => code(field),
    }
}

/// The text in lines of at most [`WIDTH`] characters. A command between backquotes stays on one line, in quotation marks.
fn filled(text: &str) -> String {
    let with_blanks =
        |(at, part): (usize, &str)| if at % 2 == 1 { part.replace(' ', "\0") } else { part.to_owned() };
    let text = text.split('`').enumerate().map(with_blanks).collect::<Vec<_>>().join("\"");
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { continue };
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= WIDTH {
            line.push_str(&format!(" {word}"));
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n").replace('\0', " ") + "\n"
}

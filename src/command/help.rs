//! The commands and options of both programs, as one table of which `--help` is made, and the manual pages and completions
//! (`packaging/docs`). Pure.

use super::exit::Exit;
use super::process::complain;

/// One program.
pub struct Program {
    /// What it is called by.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub about: &'static str,
    /// How it is called, and what that does. Words in capitals stand for something.
    pub uses: &'static [(&'static str, &'static str)],
    /// Its options.
    pub options: &'static [Opt],
}

/// One option.
pub struct Opt {
    /// Its letter, where it has one.
    pub short: Option<char>,
    /// Its name, without the dashes.
    pub long: &'static str,
    /// What its value is called, where it takes one.
    pub value: Option<&'static str>,
    /// The uses that it goes with; empty where it goes with all of them, or they name it.
    pub with: &'static [&'static str],
    /// What it does.
    pub does: &'static str,
}

const HELP: Opt = Opt { short: Some('h'), long: "help", value: None, with: &[], does: "show this help" };
const VERSION: Opt =
    Opt { short: Some('V'), long: "version", value: None, with: &[], does: "show the version" };

/// `scw-agent`
pub const AGENT: Program = Program {
    name: "scw-agent",
    about: "The in-guest agent of a Scaleway Instance.",
    uses: &[
        ("status", "show what the agent sees: Instance, metadata, host keys, scripts"),
        ("doctor", "look at the way to the metadata service, step by step, and say what is wrong with it"),
        (
            "host-keys show",
            "list this machine's host keys, their fingerprints, and whether they are published",
        ),
        ("host-keys known-hosts", "print them as lines for a client's known_hosts file"),
        ("host-keys sshfp", "print them as SSHFP records for a DNS zone"),
        (
            "host-keys ensure",
            "make the host keys that are missing, mend what is wrong (run by scw-agent-hostkeys.service)",
        ),
        (
            "host-keys settle",
            "learn whose keys they are, and which of them sshd serves (run by scw-agent-hostkeys-settle.service)",
        ),
        ("setup list", "list the scripts that ran, and how they ended"),
        ("setup show KEY", "show a script's runs and the end of its output; to a terminal escaped"),
        (
            "setup validate FILE…",
            "say what would become of these files as user data, and why; on any machine",
        ),
        ("setup run", "run the scripts that are due in this boot (run by scw-agent-setup.service)"),
        ("setup run KEY", "run this script, if it is due"),
        (
            "setup run-shutdown",
            "run the shutdown scripts, if the machine is going down (run by scw-agent-shutdown.service)",
        ),
        ("config check", "read the configuration as the agent does, and say what is wrong in it"),
        ("sysprep", "make this disk ready to be cloned: remove what is recorded of this Instance"),
        ("config show", "print the settings that hold, and which file each comes from"),
        ("daemon", "publish the fingerprints and serve the local socket (run by scw-agent.service)"),
    ],
    options: &[
        Opt {
            short: None,
            long: "json",
            value: None,
            with: &[
                "status",
                "doctor",
                "host-keys show",
                "setup list",
                "setup show KEY",
                "setup validate FILE…",
                "config check",
            ],
            does: "answer in JSON",
        },
        Opt {
            short: None,
            long: "host",
            value: Some("NAME"),
            with: &["host-keys known-hosts", "host-keys sshfp"],
            does: "the machine's name, for its own",
        },
        Opt {
            short: None,
            long: "again",
            value: None,
            with: &["setup run", "setup run KEY"],
            does: "run it even though it is done",
        },
        Opt {
            short: None,
            long: "paced",
            value: None,
            with: &["host-keys settle", "setup run"],
            does: "wait first if the last runs were recent (used by the units that requests start)",
        },
        Opt {
            short: None,
            long: "wait",
            value: None,
            with: &["status"],
            does: "wait until all of this boot's work is done; then 0 means that it went well, 1 that it did not, 5 that the time was up",
        },
        Opt {
            short: None,
            long: "timeout",
            value: Some("TIME"),
            with: &["status"],
            does: "wait for so long at most; 10m if it is not given",
        },
        Opt {
            short: None,
            long: "defaults",
            value: None,
            with: &["config show"],
            does: "print every key with its default and what it is for",
        },
        Opt {
            short: None,
            long: "dry-run",
            value: None,
            with: &["sysprep"],
            does: "only say what would be removed",
        },
        Opt {
            short: None,
            long: "host-keys",
            value: None,
            with: &["sysprep"],
            does: "remove the host keys, too",
        },
        HELP,
        VERSION,
    ],
};

/// `scw-userdata`
pub const USERDATA: Program = Program {
    name: "scw-userdata",
    about: "Reads and writes the user data of this Scaleway Instance.",
    uses: &[
        ("", "list the keys that are set, as the API does"),
        ("KEY", "print the value of KEY, byte for byte; to a terminal escaped"),
        ("KEY VALUE", "set KEY to VALUE"),
        ("KEY --file FILE", "set KEY to what FILE holds; `-` is standard input"),
        ("--delete KEY", "delete KEY"),
    ],
    options: &[
        Opt { short: Some('d'), long: "delete", value: None, with: &[], does: "delete the key" },
        Opt {
            short: Some('f'),
            long: "file",
            value: Some("FILE"),
            with: &[],
            does: "take the value from FILE; `-` is standard input",
        },
        Opt {
            short: Some('j'),
            long: "json",
            value: None,
            with: &[],
            does: "answer in JSON; a value that is not UTF-8 comes as base64",
        },
        HELP,
        VERSION,
    ],
};

impl Opt {
    /// As it is typed: `-f, --file FILE`.
    pub fn form(&self) -> String {
        let short = self.short.map(|letter| format!("-{letter}, ")).unwrap_or_default();
        let value = self.value.map(|value| format!(" {value}")).unwrap_or_default();
        format!("{short}--{}{value}", self.long)
    }

    /// What it does, and with which commands it goes.
    fn told(&self) -> String {
        let mut commands: Vec<_> = self.with.iter().map(|form| format!("`{}`", words(form))).collect();
        commands.dedup();
        match &commands[..] {
            [] => self.does.to_owned(),
            [one] => format!("with {one}: {}", self.does),
            [others @ .., last] => format!("with {} and {last}: {}", others.join(", "), self.does),
        }
    }
}

/// The words of a use that are typed as they are: what stands for something is in capitals.
pub fn words(form: &str) -> String {
    let typed = |word: &&str| !word.starts_with('-') && word.chars().any(char::is_lowercase);
    form.split(' ').filter(typed).collect::<Vec<_>>().join(" ")
}

impl Program {
    /// The text of `--help`.
    pub(super) fn help(&self) -> String {
        let mut text = format!("{}\n\nUsage:\n", self.about);
        let uses: Vec<_> =
            self.uses.iter().map(|(form, does)| (format!("{} {form}", self.name), *does)).collect();
        table(&mut text, uses.iter().map(|(form, does)| (form.trim_end(), *does)));
        text.push_str("\nOptions:\n");
        let options: Vec<_> = self.options.iter().map(|option| (option.form(), option.told())).collect();
        table(&mut text, options.iter().map(|(form, does)| (&**form, &**does)));
        text.push_str("\nExit codes:\n");
        let codes = Exit::MEANINGS.map(|(exit, meaning)| ((exit as u8).to_string(), meaning));
        table(&mut text, codes.iter().map(|(code, meaning)| (&**code, *meaning)));
        text
    }

    /// The text of `--version`.
    pub(super) fn version(&self) -> String {
        format!("{} {}\n", self.name, env!("CARGO_PKG_VERSION"))
    }

    /// Says what is wrong with the command line.
    pub(super) fn misused(&self, why: &str) -> Exit {
        complain(self, &format!("{why}; see `{} --help`", self.name));
        Exit::Usage
    }

    /// Says what went wrong.
    pub(super) fn failed(&self, why: &dyn std::fmt::Display, exit: Exit) -> Exit {
        complain(self, why);
        exit
    }
}

fn table<'a>(text: &mut String, rows: impl Iterator<Item = (&'a str, &'a str)> + Clone) {
    let width = rows.clone().map(|(left, _)| left.len()).max().unwrap_or_default();
    for (left, right) in rows {
        text.push_str(&format!("  {left:width$}  {right}\n"));
    }
}

//! The commands and options of both programs, as one table of which `--help` is made.

use super::exit::Exit;

/// One program.
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// How it is called, and what that does.
    pub(super) uses: &'static [(&'static str, &'static str)],
    /// Its options, and what they do.
    pub(super) options: &'static [(&'static str, &'static str)],
}

/// `scw-agent`
pub(super) const AGENT: Program = Program {
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
        ("setup show KEY", "show a script's runs and the end of its output"),
        ("setup run", "run the scripts that are due in this boot (run by scw-agent-setup.service)"),
        ("config check", "read the configuration as the agent does, and say what is wrong in it"),
        ("sysprep", "make this disk ready to be cloned: remove what is recorded of this Instance"),
        ("config show", "print the settings that hold, and which file each comes from"),
        ("daemon", "publish the fingerprints and serve the local socket (run by scw-agent.service)"),
    ],
    options: &[
        (
            "--json",
            "with `status`, `doctor`, `host-keys show`, `setup list`, `setup show` and `config check`: answer in JSON",
        ),
        ("--defaults", "with `config show`: print every key with its default and what it is for"),
        (
            "--host NAME",
            "with `host-keys known-hosts` and `host-keys sshfp`: the machine's name, for its own",
        ),
        ("--dry-run", "with `sysprep`: only say what would be removed"),
        ("--host-keys", "with `sysprep`: remove the host keys, too"),
        ("-h, --help", "show this help"),
        ("-V, --version", "show the version"),
    ],
};

/// `scw-userdata`
pub(super) const USERDATA: Program = Program {
    name: "scw-userdata",
    about: "Reads and writes the user data of this Scaleway Instance.",
    uses: &[
        ("", "list the keys that are set, as the API does"),
        ("KEY", "print the value of KEY, byte for byte"),
        ("KEY VALUE", "set KEY to VALUE"),
        ("KEY --file FILE", "set KEY to what FILE holds; `-` is standard input"),
        ("--delete KEY", "delete KEY"),
    ],
    options: &[
        ("-d, --delete", "delete the key"),
        ("-f, --file FILE", "take the value from FILE; `-` is standard input"),
        ("-j, --json", "answer in JSON; a value that is not UTF-8 comes as base64"),
        ("-h, --help", "show this help"),
        ("-V, --version", "show the version"),
    ],
};

impl Program {
    /// The text of `--help`.
    pub(super) fn help(&self) -> String {
        let mut text = format!("{}\n\nUsage:\n", self.about);
        let uses: Vec<_> =
            self.uses.iter().map(|(form, does)| (format!("{} {form}", self.name), *does)).collect();
        table(&mut text, uses.iter().map(|(form, does)| (form.trim_end(), *does)));
        text.push_str("\nOptions:\n");
        table(&mut text, self.options.iter().copied());
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
        eprintln!("{}: {why}\nSee `{} --help`.", self.name, self.name);
        Exit::Usage
    }

    /// Says what went wrong.
    pub(super) fn failed(&self, why: &dyn std::fmt::Display, exit: Exit) -> Exit {
        eprintln!("{}: {why}", self.name);
        exit
    }
}

fn table<'a>(text: &mut String, rows: impl Iterator<Item = (&'a str, &'a str)> + Clone) {
    let width = rows.clone().map(|(left, _)| left.len()).max().unwrap_or_default();
    for (left, right) in rows {
        text.push_str(&format!("  {left:width$}  {right}\n"));
    }
}

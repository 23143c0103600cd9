//! The table of the commands and options of both programs. `--help`, the manual pages and the shell
//! completions (`packaging/docs`) are made of it. [`crate::command::usage`] makes the texts. Pure.

/// One program.
pub struct Program {
    /// The program's name.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub about: &'static str,
    /// The forms of its command line, each with its effect. A word in capitals is a placeholder.
    pub uses: &'static [(&'static str, &'static str)],
    /// Its options.
    pub options: &'static [Opt],
    /// Further notes for the help, as lines of complete sentences.
    pub notes: &'static [&'static str],
}

/// One option.
pub struct Opt {
    /// Its letter, if it has one.
    pub short: Option<char>,
    /// Its name, without the dashes.
    pub long: &'static str,
    /// The placeholder of its value, if it takes one.
    pub value: Option<&'static str>,
    /// The forms that accept it; empty if all forms accept it, or if the form itself contains it.
    pub with: &'static [&'static str],
    /// Its effect.
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
        (
            "setup show KEY",
            "show a script's runs and the end of its output, or its output so far; to a terminal escaped",
        ),
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
        ("help", "show this help"),
        ("help COMMAND…", "show the forms of COMMAND and its options, as COMMAND --help does"),
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
            does: "use NAME instead of this machine's hostname",
        },
        Opt {
            short: None,
            long: "follow",
            value: None,
            with: &["setup show KEY"],
            does: "if it runs, show its output until it ends",
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
            does: "wait until the work of this boot is done; exits with 0 if it succeeded, 1 if it failed, 5 after the time limit",
        },
        Opt {
            short: None,
            long: "timeout",
            value: Some("TIME"),
            with: &["status"],
            does: "wait for so long at most, at most a year; 10m if it is not given",
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
    notes: &[],
};

/// `scw-userdata`
pub const USERDATA: Program = Program {
    name: "scw-userdata",
    about: "Reads and writes the user data of this Scaleway Instance.",
    uses: &[
        ("", "list the keys that are set, as the API does"),
        ("KEY", "print the value of KEY, byte for byte; to a terminal escaped"),
        ("KEY VALUE", "set KEY to VALUE, whatever VALUE begins with"),
        ("KEY --file FILE", "set KEY to what FILE holds, a file or a pipe; `-` is standard input"),
        ("--delete KEY", "delete KEY"),
    ],
    options: &[
        Opt { short: Some('d'), long: "delete", value: None, with: &[], does: "delete the key" },
        Opt {
            short: Some('f'),
            long: "file",
            value: Some("FILE"),
            with: &[],
            does: "take the value from FILE, a file or a pipe; `-` is standard input",
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
    notes: &[
        "Options stand before KEY, apart from `KEY --file FILE` and `KEY -f FILE`. The word after KEY is its value,",
        "whatever it begins with: `KEY -d` and `KEY --file=x` set these texts. `--` ends the options: `-- KEY` takes a",
        "KEY that begins with `-`.",
    ],
};

/// The words of a form that are typed literally, without the placeholders in capitals.
pub fn words(form: &str) -> String {
    let is_literal = |word: &&str| !word.starts_with('-') && word.chars().any(char::is_lowercase);
    form.split(' ').filter(is_literal).collect::<Vec<_>>().join(" ")
}

//! The table of the commands and options of both programs. `scw-agent` parses its command line by this table, and
//! `--help`, the manual pages and the shell completions (`packaging/docs`) are made of it. Pure.

use crate::command::exit::Exit;
use crate::command::grammar::Argument::{self, One, Several};
use crate::command::grammar::Operand::{Command, File, Fingerprint, Key, Name, Time, Value};
use crate::command::grammar::{Form, Opt, Program};

pub(crate) const fn form(words: &'static [&'static str], effect: &'static str) -> Form {
    Form { words, arguments: &[], effect, options: &[] }
}

impl Form {
    pub(crate) const fn taking(self, arguments: &'static [Argument]) -> Self {
        Self { arguments, ..self }
    }

    pub(crate) const fn accepting(self, options: &'static [&'static Opt]) -> Self {
        Self { options, ..self }
    }
}

/// An option without a letter and without a value.
pub(crate) const fn flag(long: &'static str, effect: &'static str) -> Opt {
    Opt { short: None, long, value: None, effect }
}

pub(crate) const HELP: Opt = Opt { short: Some('h'), ..flag("help", "show this help") };
pub(crate) const VERSION: Opt = Opt { short: Some('V'), ..flag("version", "show the version") };
pub(crate) const JSON: Opt = flag("json", "answer in JSON");
const HOST: Opt = Opt { value: Some(Name), ..flag("host", "use NAME instead of this machine's hostname") };
pub(crate) const FOLLOW: Opt = flag("follow", "while it runs, show its output until it ends");
pub(crate) const AGAIN: Opt = flag("again", "run it even if it has run before");
pub(crate) const PACED: Opt =
    flag("paced", "wait first after several runs in a short time (used by the units that requests start)");
pub(crate) const WAIT: Opt = flag(
    "wait",
    "wait until the work of this boot is done; exits with 0 if it succeeded, 1 if it failed, 5 at the timeout",
);
const TIMEOUT: Opt = Opt { value: Some(Time), ..flag("timeout", "the timeout, at most a year; default 10m") };
pub(crate) const DEFAULTS: Opt = flag("defaults", "print every setting with its default and its meaning");
pub(crate) const DRY_RUN: Opt = flag("dry-run", "only print what would be removed");
pub(crate) const HOST_KEYS: Opt = flag("host-keys", "also remove the host keys");

/// `scw-agent`
pub const AGENT: Program = Program {
    name: "scw-agent",
    about: "The in-guest agent of a Scaleway Instance.",
    forms: &[
        form(&["status"], "show what the agent sees: Instance, metadata, host keys, scripts")
            .accepting(&[&JSON, &WAIT, &TIMEOUT]),
        form(
            &["doctor"],
            "test the connection to the metadata service step by step, and report what is wrong",
        )
        .accepting(&[&JSON]),
        form(
            &["instance"],
            "show what the metadata service knows about this Instance: addresses, private NICs, image, tags",
        )
        .accepting(&[&JSON]),
        form(&["volumes"], "show each volume of the Instance with its disk, partitions and mount points")
            .accepting(&[&JSON]),
        form(
            &["host-keys", "show"],
            "list this machine's host keys, their fingerprints, and whether they are published",
        )
        .accepting(&[&JSON]),
        form(&["host-keys", "known-hosts"], "print them as lines for a client's known_hosts file")
            .accepting(&[&HOST]),
        form(&["host-keys", "sshfp"], "print them as SSHFP records for a DNS zone").accepting(&[&HOST]),
        form(
            &["host-keys", "ensure"],
            "make missing host keys and repair damaged ones (run by scw-agent-hostkeys.service)",
        ),
        form(
            &["host-keys", "settle"],
            "check which Instance this is and which keys sshd serves \
             (run by scw-agent-hostkeys-settle.service)",
        )
        .accepting(&[&PACED]),
        form(
            &["hostname", "apply"],
            "set the hostname of the metadata once in a boot, if `[hostname] manage` is true \
             (run by scw-agent-hostname.service)",
        )
        .accepting(&[&PACED]),
        form(
            &["ssh-keys", "show"],
            "list the managed keys with which root may log in, and whether sshd reads them",
        )
        .accepting(&[&JSON]),
        form(&["ssh-keys", "remove"], "remove a managed key, even the last one")
            .taking(&[One(Fingerprint)]),
        form(
            &["ssh-keys", "apply"],
            "bring the managed keys up to date, if `[ssh-keys] manage` is on (run by scw-agent-ssh-keys.service)",
        )
        .accepting(&[&PACED]),
        form(
            &["ssh-keys", "adopt"],
            "set root's authorized_keys aside if Scaleway's former package wrote it, so that only the managed keys let root in",
        ),
        form(
            &["ssh-keys", "end"],
            "move the managed keys to root's authorized_keys, and have sshd no longer read the agent's file",
        ),
        form(&["setup", "list"], "list the scripts that ran and how they ended").accepting(&[&JSON]),
        form(
            &["setup", "show"],
            "show a script's runs and the end of its output, or its output so far; escaped on a terminal",
        )
        .taking(&[One(Key)])
        .accepting(&[&JSON, &FOLLOW]),
        form(
            &["setup", "validate"],
            "show what the agent would do with these files as user data; works on any machine",
        )
        .taking(&[Several(File)])
        .accepting(&[&JSON]),
        form(&["setup", "run"], "run the scripts that are due in this boot (run by scw-agent-setup.service)")
            .accepting(&[&AGAIN, &PACED]),
        form(&["setup", "run"], "run this script if it is due").taking(&[One(Key)]).accepting(&[&AGAIN]),
        form(
            &["setup", "run-shutdown"],
            "run the shutdown scripts, if the machine is going down (run by scw-agent-shutdown.service)",
        ),
        form(&["config", "check"], "read the configuration as the agent does, and report what is wrong")
            .accepting(&[&JSON]),
        form(&["sysprep"], "prepare this disk for cloning: remove the records of this Instance")
            .accepting(&[&DRY_RUN, &HOST_KEYS]),
        form(&["config", "show"], "print the settings in effect and the file that each comes from")
            .accepting(&[&DEFAULTS]),
        form(&["daemon"], "publish the fingerprints and serve the local socket (run by scw-agent.service)"),
        form(&["help"], "show this help"),
        form(&["help"], "show the usage and options of COMMAND, as COMMAND --help does")
            .taking(&[Several(Command)]),
    ],
    options: &[
        &JSON, &HOST, &FOLLOW, &AGAIN, &PACED, &WAIT, &TIMEOUT, &DEFAULTS, &DRY_RUN, &HOST_KEYS, &HELP,
        &VERSION,
    ],
    notes: &[],
    exit_codes: &Exit::MEANINGS,
};

const DELETE: Opt = Opt { short: Some('d'), ..flag("delete", "delete the key") };
const FILE: Opt = Opt {
    short: Some('f'),
    value: Some(File),
    ..flag("file", "take the value from FILE, a file or a pipe; `-` is standard input")
};
const VALUE_AS_JSON: Opt =
    Opt { short: Some('j'), ..flag("json", "answer in JSON; a value that is not UTF-8 comes as base64") };

/// `scw-userdata`, which parses its command line without this table: its options are no options after KEY.
pub const USERDATA: Program = Program {
    name: "scw-userdata",
    about: "Reads and writes the user data of this Scaleway Instance.",
    forms: &[
        form(&[], "list the keys that are set, as the API does"),
        form(&[], "print the value of KEY, byte for byte; escaped on a terminal").taking(&[One(Key)]),
        form(&[], "set KEY to VALUE, whatever VALUE begins with").taking(&[One(Key), One(Value)]),
        form(&[], "set KEY to the content of FILE, a file or a pipe; `-` is standard input")
            .taking(&[One(Key), Argument::Option(&FILE)]),
        form(&[], "delete KEY").taking(&[Argument::Option(&DELETE), One(Key)]),
    ],
    options: &[&DELETE, &FILE, &VALUE_AS_JSON, &HELP, &VERSION],
    notes: &[
        "Options stand before KEY, apart from `KEY --file FILE` and `KEY -f FILE`. The word after KEY is its value,",
        "whatever it begins with: `KEY -d` and `KEY --file=x` set these texts. `--` ends the options: `-- KEY` takes a",
        "KEY that begins with `-`.",
    ],
    exit_codes: &Exit::MEANINGS,
};

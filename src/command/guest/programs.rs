//! The table of the guest commands. Pure.

use crate::command::exit::Exit;
use crate::command::grammar::Argument::{self, One};
use crate::command::grammar::Operand::{Key, Name, State};
use crate::command::grammar::{Opt, Program};
use crate::command::help::{HELP, VERSION, flag, form};

pub(super) const CACHED: Opt =
    flag("cached", "use /run/scw-metadata.cache if it exists, otherwise ask and, as root, make it");
pub(super) const UPGRADE: Opt = flag("upgrade", "also renew /run/scw-metadata.cache");

/// Failures end with 1, as those of the original commands did.
const EXIT_CODES: [(Exit, &str); 4] = [
    (Exit::Success, "all is well"),
    (Exit::Failure, "it failed, or the metadata service is unreachable; see the message"),
    (Exit::Usage, "the command line is not understood"),
    (Exit::NotPermitted, "this user may not do that"),
];

/// Exit status 1 of the original says that there is no such tag.
const EXIT_CODES_OF_TAGS: [(Exit, &str); 4] = [
    (Exit::Success, "all is well"),
    (Exit::Failure, "there is no such tag"),
    (Exit::Usage, "the command line is not understood"),
    (Exit::Unreachable, "the metadata service is unreachable, or gave an unusable answer"),
];

const COMMON: [&Opt; 2] = [&HELP, &VERSION];

pub(super) const METADATA: Program = Program {
    name: "scw-metadata",
    about: "Prints the metadata of this Instance, as the metadata service gives them.",
    forms: &[
        form(&[], "print the complete text, byte for byte; escaped on a terminal").accepting(&[&CACHED]),
        form(&[], "print the value of KEY, or nothing if there is no such key")
            .taking(&[One(Key)])
            .accepting(&[&CACHED]),
    ],
    options: &[&CACHED, &HELP, &VERSION],
    notes: &[
        "KEY may have `.`, `*` and `[…]` as in a basic regular expression; each value that is found is a line. A quote at the",
        "beginning and one at the end of a value are removed. The service is asked for up to 60 seconds.",
    ],
    exit_codes: &EXIT_CODES,
};

pub(super) const METADATA_JSON: Program = Program {
    name: "scw-metadata-json",
    about: "Prints the metadata of this Instance as JSON, as the metadata service gives them.",
    forms: &[form(&[], "print the document and a newline; escaped on a terminal")],
    options: &COMMON,
    notes: &["The service is asked for up to 60 seconds."],
    exit_codes: &EXIT_CODES,
};

pub(super) const SERVER_TAGS: Program = Program {
    name: "scw-server-tags",
    about: "Prints the tags of this Instance.",
    forms: &[
        form(&[], "print each tag on a line"),
        form(&[], "print what follows the first `=` in the tag NAME, or 1 if it has none; without such a tag, print 0 and exit with 1")
            .taking(&[One(Name)]),
    ],
    options: &COMMON,
    notes: &[
        "NAME is the text before the first `=` of a tag, or the complete tag. If no tag has this name, the first one that",
        "begins with NAME counts.",
    ],
    exit_codes: &EXIT_CODES_OF_TAGS,
};

pub(super) const SIGNAL_STATE: Program = Program {
    name: "scw-signal-state",
    about: "Tells Scaleway which state this Instance is in.",
    forms: &[form(&[], "set the state; `booted` is the state after a boot").taking(&[One(State)])],
    options: &COMMON,
    notes: &[],
    exit_codes: &EXIT_CODES,
};

pub(super) const SET_HOSTNAME: Program = Program {
    name: "scw-set-hostname",
    about: "Sets the hostname to the one in the metadata of this Instance.",
    forms: &[form(
        &[],
        "set the hostname, and name it in /etc/hosts; does nothing where cloud-init is enabled",
    )],
    options: &COMMON,
    notes: &[],
    exit_codes: &EXIT_CODES,
};

pub(super) const GENERATE_SSH_KEYS: Program = Program {
    name: "scw-generate-ssh-keys",
    about: "Makes missing SSH host keys, and has their fingerprints published.",
    forms: &[form(
        &[],
        "do what `scw-agent host-keys ensure` does, and wait until the daemon has published the fingerprints",
    )],
    options: &COMMON,
    notes: &[],
    exit_codes: &EXIT_CODES,
};

pub(super) const FETCH_SSH_KEYS: Program = Program {
    name: "scw-fetch-ssh-keys",
    about: "Brings the SSH keys with which root may log in up to date.",
    forms: &[form(
        &[],
        "use the keys of the metadata, of tags `AUTHORIZED_KEY=…`, and of ~/.ssh/instance_keys, as `scw-agent ssh-keys apply` does",
    )
    .accepting(&[&UPGRADE])],
    options: &[&UPGRADE, &HELP, &VERSION],
    notes: &[
        "The keys are written to a file of the agent, which sshd reads besides ~/.ssh/authorized_keys, or to a marked block of that",
        "file if `[ssh-keys] manage` is off. No other line changes. A key that the owner removed is removed after a second answer.",
    ],
    exit_codes: &EXIT_CODES,
};

/// The guest commands of Scaleway's images, apart from `scw-userdata`.
pub const GUEST_PROGRAMS: [&Program; 7] = [
    &METADATA,
    &METADATA_JSON,
    &SERVER_TAGS,
    &SIGNAL_STATE,
    &SET_HOSTNAME,
    &GENERATE_SSH_KEYS,
    &FETCH_SSH_KEYS,
];

// Each form takes one operand at most, which `arguments` relies on.
const _: () = {
    let mut program = 0;
    while program < GUEST_PROGRAMS.len() {
        let mut form = 0;
        while form < GUEST_PROGRAMS[program].forms.len() {
            assert!(matches!(GUEST_PROGRAMS[program].forms[form].arguments, [] | [Argument::One(_)]));
            form += 1;
        }
        program += 1;
    }
};

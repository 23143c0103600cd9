//! The guest commands of Scaleway's images, as further names of this program: their command lines and their output.
//!
//! Each behaves as the original does, except where that was a fault: a failure ends with an error and never looks like an empty answer.
//! docs/reference/guest-commands.md names each difference.
//!
//! | module | commands |
//! |---|---|
//! | `programs` | the table of all of them, for the help, the manual pages and the completions |
//! | `arguments` | parses their command lines |
//! | `asking` | asks the metadata service, for up to a minute |
//! | `metadata` | `scw-metadata`, `scw-metadata-json` |
//! | `server_tags` | `scw-server-tags` |
//! | `signal_state` | `scw-signal-state` |
//! | `ssh_keys` | `scw-generate-ssh-keys`, `scw-fetch-ssh-keys` |
//! | `set_hostname` | `scw-set-hostname` |

mod arguments;
mod asking;
mod metadata;
mod programs;
mod server_tags;
mod set_hostname;
mod signal_state;
mod ssh_keys;

pub(crate) use asking::ask_for_a_minute;
pub use programs::GUEST_PROGRAMS;

use crate::command::exit::Exit;
use crate::command::grammar::Program;
use crate::command::process::{hide_panic_texts, print};
use arguments::Parsed;

/// What one of the commands does with its command line.
type RunCommand = fn(&'static Program, Parsed) -> Exit;

const RUNS: [(&Program, RunCommand); GUEST_PROGRAMS.len()] = [
    (&programs::METADATA, metadata::metadata),
    (&programs::METADATA_JSON, metadata::metadata_json),
    (&programs::SERVER_TAGS, server_tags::server_tags),
    (&programs::SIGNAL_STATE, signal_state::signal_state),
    (&programs::SET_HOSTNAME, set_hostname::set_hostname),
    (&programs::GENERATE_SSH_KEYS, ssh_keys::generate),
    (&programs::FETCH_SSH_KEYS, ssh_keys::fetch),
];

/// Runs the guest command with this name; `None` if there is none.
pub(crate) fn by_name(name: &str) -> Option<Exit> {
    let (program, run) = RUNS.iter().find(|(program, _)| program.name == name)?;
    hide_panic_texts(program);
    Some(match arguments::parse(program) {
        Ok(Parsed { help: true, .. }) => print(&program.help(&[])),
        Ok(Parsed { version: true, .. }) => print(&program.version()),
        Ok(parsed) => run(program, parsed),
        Err(why) => program.fail_usage(&why),
    })
}

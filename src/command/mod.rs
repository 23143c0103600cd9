//! The command lines of both programs, used by people and by units: each is parsed into one call of another
//! module, and the result is printed and becomes the exit code.
//!
//! The commands have no logic of their own. The two programs are [`agent()`] and [`userdata()`]. Packages
//! contain one file with two names, and [`by_name()`] chooses the program.

mod agent;
mod config;
mod daemon;
mod doctor;
mod exit;
mod help;
mod host_keys;
mod misuse;
mod process;
mod rows;
mod script_runs;
mod setup;
mod status;
mod status_view;
mod sysprep;
mod usage;
mod userdata;
mod validate;

use std::path::Path;

pub use agent::agent;
pub use exit::Exit;
pub use help::{AGENT, Opt, Program, USERDATA, words};
pub use userdata::userdata;

/// Runs the program that the process was started as: `scw-userdata` under that name, `scw-agent` under every
/// other.
pub fn by_name() -> Exit {
    let name = std::env::args_os().next().unwrap_or_default();
    if Path::new(&name).file_name() == Some("scw-userdata".as_ref()) { userdata() } else { agent() }
}

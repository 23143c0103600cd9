//! What is typed, by people and by units: words become one call of a role, its result becomes lines and an exit code.
//!
//! No logic of a role is here. The two programs are [`agent()`] and [`userdata()`];
//! packages hold one file with two names, for [`by_name()`] to choose.

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

/// Runs what the process was started as: `scw-userdata` under that name, `scw-agent` under every other.
pub fn by_name() -> Exit {
    let name = std::env::args_os().next().unwrap_or_default();
    if Path::new(&name).file_name() == Some("scw-userdata".as_ref()) { userdata() } else { agent() }
}

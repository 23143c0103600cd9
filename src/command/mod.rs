//! The command lines of all programs, used by people and by units: each is parsed into one call of another
//! module, and the result is printed and becomes the exit code.
//!
//! The commands decide nothing themselves, with three exceptions: `host_keys`, `hostname` and `ssh_keys` ask the metadata service for root
//! which Instance this is, what its hostname is, and which keys its owner has.
//!
//! | command | started by |
//! |---|---|
//! | `daemon` | scw-agent.service |
//! | `host-keys ensure` | scw-agent-hostkeys.service, at boot |
//! | `host-keys settle --paced` | scw-agent-hostkeys-settle.service, by its path unit when the daemon requests it |
//! | `hostname apply --paced` | scw-agent-hostname.service, by its path unit when the daemon requests it |
//! | `ssh-keys apply --paced` | scw-agent-ssh-keys.service, by its path unit when the daemon requests it |
//! | `setup run --paced` | scw-agent-setup.service, by its path unit when the daemon requests it |
//! | `setup run-shutdown` | scw-agent-shutdown.service, when it stops |
//!
//! `--paced` keeps a distance between runs that requests start ([`crate::system::throttle`]). The two programs are [`agent()`] and [`userdata()`]. Packages
//! contain one file with two names, and [`by_name()`] chooses the program.

mod agent;
mod config;
mod daemon;
mod doctor;
mod exit;
mod grammar;
mod guest;
mod help;
mod host_keys;
mod hostname;
mod instance;
mod instance_view;
mod misuse;
mod process;
mod rows;
mod script_runs;
mod setup;
mod ssh_keys;
mod status;
mod status_view;
mod sysprep;
mod usage;
mod userdata;
mod validate;
mod volumes_view;

use std::ffi::OsStr;
use std::path::Path;

pub use agent::agent;
pub use exit::Exit;
pub use grammar::{Argument, Form, Operand, Opt, Program};
pub use guest::GUEST_PROGRAMS;
pub use help::{AGENT, USERDATA};
pub use userdata::userdata;

/// Runs the program that the process was started as: `scw-userdata` or another guest command under its name, `scw-agent` under every other
/// name.
pub fn by_name() -> Exit {
    let name = std::env::args_os().next().unwrap_or_default();
    match Path::new(&name).file_name().and_then(OsStr::to_str) {
        Some("scw-userdata") => userdata(),
        Some(name) => guest::by_name(name).unwrap_or_else(agent),
        None => agent(),
    }
}

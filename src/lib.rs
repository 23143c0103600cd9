//! The in-guest agent of a Scaleway Instance.
//!
//! Imports point downwards in this table: a folder uses those below it.
//!
//! | folder | what it does |
//! |---|---|
//! | `command` | the command lines of `scw-agent` and `scw-userdata` |
//! | `daemon` | the service: keeps the fingerprints published, requests the root units, serves the local API |
//! | `doctor` | tests the way to the metadata service, step by step |
//! | `local_api` | the daemon's Unix socket, both sides |
//! | `status` | the status document and the problems that it reports |
//! | `settings` | the configuration files |
//! | `scripts` | setup scripts: from user data to their records |
//! | `host_keys` | sshd's host keys: from sshd's configuration to the published value |
//! | `identity` | which Instance this disk belongs to |
//! | `metadata` | the client of the Metadata API |
//! | `system` | what the machine says of itself, and the requests between units |
//! | `util` | files, time, text, logging |
//!
//! Public is what the programs, the fuzz targets and the generated documentation use.

// What is printed goes through `command::process` and `log`, which escape it.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod command;
mod daemon;
pub mod doctor;
pub mod host_keys;
pub mod identity;
pub mod local_api;
pub mod metadata;
pub mod scripts;
pub mod settings;
pub mod status;
pub mod system;
pub mod util;

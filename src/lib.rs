//! The in-guest agent of a Scaleway Instance.
//!
//! Imports point downwards in this table: a folder uses only those below it. `tests/structure` reads the order from this table and
//! fails on an import against it.
//!
//! | folder | what it does |
//! |---|---|
//! | `command` | the commands of `scw-agent` and `scw-userdata` |
//! | `daemon` | the service: keeps the fingerprints published, writes requests for root's units, serves the local API |
//! | `doctor` | tests the connection to the metadata service, step by step |
//! | `local_api` | the daemon's Unix socket: server and client |
//! | `status` | the status document and the problems that it reports |
//! | `settings` | the configuration files |
//! | `scripts` | setup scripts: from user data to their records |
//! | `account_keys` | root's authorized_keys, from the owner's keys |
//! | `host_keys` | sshd's host keys: from sshd's configuration to the published value |
//! | `identity` | the Instance to which this disk belongs |
//! | `volumes` | which block device is which volume of the Instance |
//! | `metadata` | the client of the Metadata API |
//! | `system` | the state of the machine, and the requests between units |
//! | `util` | files, time, text, logging |
//!
//! An item is public only if a program, a fuzz target or the generator of the documentation uses it.

// All output goes through `command::process` and `util::log`, which escape it.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod account_keys;
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
mod volumes;

//! The counterpart of the agent on the user's machine: it has ssh check the host key of a Scaleway Instance against the
//! fingerprints that the Instance published.
//!
//! The flow of a check: `command::check` reads ssh's call (`ssh::call`), decides whether the host is a candidate
//! (`search::wanted`, `instances`), looks the Instance and its fingerprints up (`search::find` through `api` with
//! `credentials`), and compares (`verdict`). `ssh_config` and `known_hosts` change the user's files, for `setup` and `write`.
//! The modules are public for the fuzz targets and the generator of the completions only.

pub mod api;
pub mod command;
pub mod credentials;
pub mod instances;
pub mod known_hosts;
pub mod published;
pub mod search;
pub mod ssh;
pub mod ssh_config;
mod util;
mod verdict;

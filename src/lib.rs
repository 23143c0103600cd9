//! The in-guest agent of a Scaleway Instance.

// What is printed goes through `command::process` and `log`, which escape it.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod cloud_init;
pub mod command;
pub mod console;
pub mod daemon;
pub mod doctor;
pub mod events;
pub mod exposure;
pub mod files;
pub mod host_keys;
pub mod identity;
pub mod local_api;
pub mod log;
mod log_once;
pub mod metadata;
pub mod moment;
pub mod nearest;
pub mod pace;
pub mod platform;
pub mod printable;
mod program;
pub mod random;
pub mod requests;
pub mod settings;
pub mod setup;
pub mod status;
mod systemctl;
mod tagged;
pub mod unit_states;

//! The daemon: four tasks on one thread, each owning its state, talking by channels.
//!
//! - [`metadata`] owns the one connection to the service and answers questions in their order;
//! - [`keeper`] does the rounds: [`publisher`] keeps `ssh-host-fingerprints` true, [`observer`] learns which Instance this is, and asks
//!   PID 1 for the setup runner, [`host_key_requests`] for the host-keys role; [`network`] tells it that the network came up, [`key_watch`] that keys changed;
//! - [`systemd`] is told the status, and its watchdog fed while the first two show signs of life ([`pulse`]); [`reload`] waits for SIGHUP;
//! - the local API ([`crate::local_api`]) serves the other programs.
//!
//! What they learn goes onto the [`board`], of which systemd's status line and `/status` are made. The daemon needs no
//! root: it reads public keys, writes into its own folder in /run, and holds the capabilities to use a low port and to mark a socket.

mod board;
mod host_key_requests;
mod keeper;
mod key_watch;
mod metadata;
mod network;
mod observer;
mod publisher;
mod pulse;
mod reload;
mod run;
mod runner_requests;
mod systemd;

pub use run::{DaemonError, Places, run};

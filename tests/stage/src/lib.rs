//! A temporary world that resembles a small Instance, made for the calling thread. It has a network namespace, with the metadata
//! service at the other end of a veth pair, and a mount namespace with a temporary view of the file system.
//!
//! This crate is for tests and the demo only. It must never change the machine, nor let a client of the metadata addresses start on
//! the machine's own network.
//!
//! ```no_run
//! use scw_stage::{Daemon, Family, Reach, World};
//! use std::time::Duration;
//!
//! World::builder().ipv6(Reach::Silent).run(|world| {
//!     world.standin().set_user_data("setup-script", "#!/bin/sh\necho hello\n");
//!     std::fs::write("/etc/scw-agent.toml", "").expect("the view is writable");
//!     let daemon = Daemon::spawn(&mut world.agent_command("/path/of/scw-agent")).expect("started");
//!     assert!(world.standin().wait_for(Duration::from_secs(300), |requests| !requests.is_empty()));
//!     world.set_reach(Family::Ipv4, Reach::Absent);
//!     daemon.terminate();
//! });
//! ```

mod accounts;
mod console;
pub mod consumers;
mod daemon;
mod error;
mod executable;
mod guard;
mod journald;
mod netns;
mod notify;
mod packages;
mod path_unit;
mod privileges;
mod programs;
mod sshd;
mod tcp;
mod view;
pub mod waits;
mod wire;
mod world;

pub use console::Console;
pub use daemon::Daemon;
pub use error::StageError;
pub use executable::write_program;
pub use guard::Outside;
pub use journald::Journald;
pub use notify::Notify;
pub use packages::{Package, Unpacked};
pub use path_unit::PathUnit;
pub use privileges::{Privileges, enter_user_namespace_if_needed};
pub use programs::Programs;
pub use scw_standin::Family;
pub use sshd::Sshd;
pub use tcp::{TcpEntry, TcpState};
pub use waits::Waits;
pub use wire::Reach;
pub use world::{Builder, World};

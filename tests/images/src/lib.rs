//! Images, and machines that boot from them with real systemd, for tests of packages and units.
//!
//! A machine is a container in a world of the stage. It uses the world's network, where it can reach the metadata service and
//! nothing outside. It must never write to the cached root file systems below the target folder.
//!
//! ```no_run
//! use scw_images::{Disk, Kit, Machine, Suite};
//! use scw_stage::World;
//!
//! let kit = Kit::new(Suite::Trixie); // fetches and builds, so outside of the world
//! World::builder().run(|world| {
//!     let disk = Disk::new(world, &kit);
//!     disk.install(kit.deb());
//!     let machine = Machine::boot(world, &disk);
//!     machine.ok("systemctl is-active ssh.service");
//! });
//! ```
//!
//! This crate is for tests only: on an error it panics, with the output of the failed program.

mod disk;
mod kit;
mod machine;
mod permit;
mod ran;

pub use disk::Disk;
pub use kit::{Build, Kit, Packages, Suite};
pub use machine::{Machine, pause};

pub use ran::Ran;

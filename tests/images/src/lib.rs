//! Images, as their builders make them, and machines that boot from them with real systemd: for tests of packages and units.
//! A machine is a container in a world of the stage: its network is the world's, with the metadata service across a wire and no
//! way out. It must never write to the cached root file systems below the target folder.
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
//! Everything panics where it cannot go on, with what was said: it is for tests only.

mod disk;
mod kit;
mod machine;
mod permit;
mod ran;

pub use disk::Disk;
pub use kit::{Kit, Suite};
pub use machine::Machine;

pub use ran::Ran;

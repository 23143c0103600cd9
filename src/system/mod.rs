//! What the machine says of itself, and how units reach each other.
//!
//! | module | what it does |
//! |---|---|
//! | `platform` | whether this is a Scaleway Instance (invariant P1) |
//! | `cloud_init` | whether cloud-init is active, and how far it is |
//! | `systemctl`, `units` | questions to systemd; units that are not in the state they should be in |
//! | `exposure` | kernel settings by which users other than root can write user data |
//! | `console` | short lines on /dev/console |
//! | `requests`, `throttle` | requests from the daemon to root's units, and the distance between the runs that they start (invariant D3) |

pub(crate) mod cloud_init;
pub(crate) mod console;
pub(crate) mod exposure;
pub mod platform;
pub(crate) mod requests;
pub(crate) mod systemctl;
pub(crate) mod throttle;
pub(crate) mod units;

pub use exposure::FILTER;

//! The state of the machine, and the requests between units.
//!
//! | module | what it does |
//! |---|---|
//! | `platform` | whether this is a Scaleway Instance (invariant P1) |
//! | `cloud_init` | whether cloud-init is active, and its progress in this boot |
//! | `systemctl`, `units` | queries to systemd; units that are not in the expected state |
//! | `exposure` | kernel settings by which users other than root can write user data |
//! | `hostname` | sets the hostname |
//! | `interfaces` | the network interfaces by MAC address |
//! | `mount_table` | the mount table of this process (pure) |
//! | `console` | short lines on /dev/console |
//! | `requests`, `throttle` | requests from the daemon to root's units, and the limit on the rate of the runs that they start (invariant D3) |

pub(crate) mod cloud_init;
pub(crate) mod console;
pub(crate) mod exposure;
pub(crate) mod hostname;
pub(crate) mod interfaces;
pub(crate) mod mount_table;
pub mod platform;
pub(crate) mod requests;
pub(crate) mod systemctl;
pub(crate) mod throttle;
pub(crate) mod units;

pub use exposure::FILTER;

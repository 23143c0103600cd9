//! The two passes of the host-keys units.
//!
//! `ensure` runs before sshd starts, without a network. `settle` runs once the metadata service can say which Instance this is, and
//! whenever sshd's configuration has changed.
//!
//! | module | what it does |
//! |---|---|
//! | `ensure`, `settle` | the steps of each pass, in their order |
//! | `pass` | the state and the steps that both passes share |
//! | `served_keys` | writes for the daemon which keys sshd serves |
//! | `settings`, `report` | what a pass gets from the configuration, and what it returns |
//! | `lock` | lets one pass run at a time |
//! | `earlier_keys` | which keys were on the disk before this boot |
//! | `console_lines` | the lines about served keys that the console does not show yet |
//! | `local_keys` | the host keys for commands that only show them |
//!
//! The order of the steps matters (invariant H2): first the new keys, each complete; then the identity record; then `served.json`. If a pass is killed
//! before the record, the next run still finds the old record and repeats all steps. `settle` makes keys only if the disk belongs to another
//! Instance, because other programs may be making host keys at that time.
//!
//! Two things prove that the disk belongs to another Instance: the hypervisor's DMI data, and the metadata service's answer to a query
//! that root sent. The daemon only sends requests. It does not run as root, so nothing that it writes is a proof (invariants D3, H1).
//! One pass runs at a time; the lock is one that no other user can take. A request is served or stays pending.

mod console_lines;
mod earlier_keys;
pub(crate) mod ensure;
pub(crate) mod local_keys;
mod lock;
mod pass;
pub(crate) mod report;
mod served_keys;
pub(crate) mod settings;
pub(crate) mod settle;

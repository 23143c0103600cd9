//! Which Instance this disk belongs to (invariant H1).
//!
//! | module | what it does |
//! |---|---|
//! | `record` | reads and writes the identity record |
//! | `dmi` | reads the machine's UUID from the hypervisor's DMI data |
//! | `verdict` | compares the record with the evidence (pure) |

pub(crate) mod dmi;
pub(crate) mod record;
pub(crate) mod verdict;

pub use record::{Identity, IdentityError, read, write};
pub use verdict::{Evidence, Verdict, judge};

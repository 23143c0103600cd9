//! Which Instance this disk belongs to, and whether it still does (law H1).
//!
//! What was recorded ([`record`]) is held against what the hypervisor ([`dmi`]) and the metadata say; [`judge`](mod@judge) is pure.

pub mod dmi;
mod judge;
mod record;

pub use judge::{Evidence, Verdict, judge};
pub use record::{Identity, IdentityError, read, write};

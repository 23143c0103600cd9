//! From what the user typed to an Instance and its published fingerprints.
//!
//! | module | content |
//! |---|---|
//! | `wanted` | what identifies the Instance: an id, an address or a name; which hosts are candidates (pure) |
//! | `find` | the look-up: the place of the local list first, then all zones |
//! | `private` | the look-up of a private address |
//! | `resolve` | a name's addresses, within the deadline |
//! | `parallel` | the same call in several zones |
//! | `unknown` | why nothing can be said |

pub(crate) mod find;
pub(crate) mod parallel;
mod private;
mod resolve;
pub(crate) mod unknown;
pub mod wanted;

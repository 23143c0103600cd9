//! The part of a known_hosts file that this program writes, for programs that do not run ssh.
//!
//! | module | content |
//! |---|---|
//! | `block` | the marked block and its lines (pure) |

pub mod block;

//! The ssh configuration that `setup` writes.
//!
//! | module | content |
//! |---|---|
//! | `own_file` | the file that is all ours: its lines, and the choices that it records (pure) |
//! | `include` | the lines in the user's file that include it (pure) |
//! | `install` | both in the user's folder |

pub mod include;
pub(crate) mod install;
pub mod own_file;

//! The key files: inspects them, plans what to do, and does it.
//!
//! | module | what it does |
//! |---|---|
//! | `key_file`, `key_content`, `key_group`, `mounts` | inspects a key file: content, mode, owner, group, whether it can be seen |
//! | `plan` | decides what to do with each key (pure) |
//! | `apply`, `make_keys` | carries out the plan |
//! | `error` | the errors of a host key |
//! | `old_keys`, `renewed_keys` | what a renewal saves: the old public keys, and which new keys are already made |
//! | `served`, `problems` | the file from which the daemon reads which keys sshd serves, and the problems of the other keys |
//! | `remove` | which files to remove from a disk that becomes an image |

pub(crate) mod apply;
pub(crate) mod error;
pub(crate) mod key_content;
pub(crate) mod key_file;
pub(crate) mod key_group;
pub(crate) mod make_keys;
pub(crate) mod mounts;
pub(crate) mod old_keys;
pub(crate) mod plan;
pub(crate) mod problems;
pub(crate) mod remove;
pub(crate) mod renewed_keys;
pub(crate) mod served;

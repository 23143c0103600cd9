//! The key files: what they are, what to do with them, doing it.
//!
//! | module | what it does |
//! |---|---|
//! | `key_file`, `key_content`, `key_group`, `mounts` | inspects a key file: content, mode, owner, group, whether it can be written |
//! | `plan` | decides what to do with each key (pure) |
//! | `apply`, `make_keys` | does it |
//! | `old_keys`, `renewed_keys` | what a renewal keeps: the old public keys, and which new ones are made |
//! | `served`, `problems` | the file that tells the daemon which keys sshd serves, and what is wrong with the others |
//! | `remove` | removes the host keys from an image |

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

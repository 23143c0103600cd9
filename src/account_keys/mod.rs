//! Root's `authorized_keys`, as Scaleway's `scw-fetch-ssh-keys` writes it: the keys of the owner, replaced in one step.
//!
//! | module | what it does |
//! |---|---|
//! | `content` | the text of the file (pure) |
//! | `install` | replaces the file |
//!
//! It never writes a file without a key, and asks nobody.

pub(crate) mod content;
pub(crate) mod install;

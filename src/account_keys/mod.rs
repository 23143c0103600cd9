//! The keys with which the owner logs in as root: from the account, from tags, and from root's own file.
//!
//! | module | what it does |
//! |---|---|
//! | `manage` | the setting that switches the management on |
//! | `apply` | one run: asks, writes, makes sshd read the keys, reports |
//! | `removal` | removes one key at a person's request |
//! | `withdraw` | ends the management, and leaves root its keys |
//! | `key_line` | one checked line with a key (pure) |
//! | `key_sources` | the keys that the owner wants (pure) |
//! | `managed_keys` | the keys of the file that the agent manages (pure) |
//! | `decide` | which keys are added, kept and removed (pure) |
//! | `accepted` | which keys sshd accepts (pure) |
//! | `sshd_drop_in` | makes sshd read the managed keys |
//! | `authorized_keys` | finds and adds lines in files of persons |
//! | `report` | what the last run found, for everybody to read |
//! | `paths` | the files |
//! | `content` | the text of the file that `scw-fetch-ssh-keys` writes (pure) |
//! | `install` | root's own files; replaces the one of `scw-fetch-ssh-keys` |
//!
//! It never writes a file without a key where root had one, and asks nobody.

pub(crate) mod accepted;
pub(crate) mod apply;
pub(crate) mod authorized_keys;
pub(crate) mod content;
pub(crate) mod decide;
pub(crate) mod install;
pub(crate) mod key_line;
pub(crate) mod key_sources;
pub(crate) mod manage;
pub(crate) mod managed_keys;
pub(crate) mod paths;
pub(crate) mod removal;
pub(crate) mod report;
pub(crate) mod sshd_drop_in;
pub(crate) mod withdraw;

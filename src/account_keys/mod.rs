//! The keys with which the owner logs in as root: from the account, from tags, and from root's own file.
//!
//! | module | what it does |
//! |---|---|
//! | `manage` | the settings that switch the management on |
//! | `apply` | one run: asks, writes, makes sshd read the keys, reports |
//! | `removal` | removes one key at a person's request |
//! | `adopt` | sets the file of Scaleway's former package aside at a person's request |
//! | `withdraw` | ends the management, and leaves root its keys |
//! | `forget` | removes the keys from a disk that becomes an image |
//! | `placement` | where the keys are: the agent's own file, or a block of root's own file |
//! | `own_block` | the marked block in a file of root's own |
//! | `store` | the agent's own file, and the lock |
//! | `own_file` | reads and replaces root's own file |
//! | `sshd_drop_in` | makes sshd read the agent's own file |
//! | `decide` | which keys are added, kept and removed (pure) |
//! | `key_line` | one checked line with a key (pure) |
//! | `key_sources` | the keys that the owner wants (pure) |
//! | `managed_keys` | the keys that the agent manages, as text (pure) |
//! | `block` | the marked block in a text (pure) |
//! | `accepted` | which keys sshd accepts (pure) |
//! | `authorized_keys` | what files of persons have |
//! | `root_files` | root's `instance_keys` |
//! | `report` | what the last run found, for everybody to read |
//! | `paths` | the files |
//!
//! It never writes a file without a key where root had one, and asks nobody.

pub(crate) mod accepted;
pub(crate) mod adopt;
pub(crate) mod apply;
pub(crate) mod authorized_keys;
pub(crate) mod block;
pub(crate) mod decide;
pub(crate) mod forget;
pub(crate) mod key_line;
pub(crate) mod key_sources;
pub(crate) mod manage;
pub(crate) mod managed_keys;
pub(crate) mod own_block;
pub(crate) mod own_file;
pub(crate) mod paths;
pub(crate) mod placement;
pub(crate) mod removal;
pub(crate) mod report;
pub(crate) mod root_files;
pub(crate) mod sshd_drop_in;
pub(crate) mod store;
pub(crate) mod withdraw;

//! The setup runner: the scripts of a boot, and those of a shutdown.
//!
//! | module | what it does |
//! |---|---|
//! | `boot_run` | the work of a boot, from the list of keys to the summary |
//! | `fetch` | everything that user data hold for a boot, before anything runs |
//! | `due` | whether a script is due (pure) |
//! | `attempts` | one script: its attempts and their records |
//! | `shutdown` | the scripts that run when the machine goes down |
//! | `publish_outcome` | the outcome of a boot as a user data value |

pub(crate) mod attempts;
pub(crate) mod boot_run;
pub(crate) mod due;
pub(crate) mod fetch;
pub(crate) mod publish_outcome;
pub(crate) mod shutdown;

//! The setup runner: runs the scripts of a boot, and the shutdown scripts.
//!
//! | module | what it does |
//! |---|---|
//! | `boot_run` | one run of the runner, from the list of keys to the summary |
//! | `fetch` | fetches all user data that a boot needs before anything runs |
//! | `due` | decides whether a script is due (pure) |
//! | `boot_context` | what all scripts of a boot share, and the messages about their outcomes |
//! | `attempts` | one script: its attempts and their records |
//! | `shutdown` | runs the shutdown scripts, and asks systemd whether the machine goes down |
//! | `publish_outcome` | publishes the outcome of a boot as a user data value |

pub(crate) mod attempts;
pub(crate) mod boot_context;
pub(crate) mod boot_run;
pub(crate) mod due;
pub(crate) mod fetch;
pub(crate) mod publish_outcome;
pub(crate) mod shutdown;

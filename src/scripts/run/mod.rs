//! One run of one script.
//!
//! | module | what it does |
//! |---|---|
//! | `execute` | the whole of it: file, launcher, supervision |
//! | `account` | the user that it runs as |
//! | `script_file` | its file, in a folder of root's |
//! | `launcher` | the process that drops root's rights and becomes the script (invariant S3) |
//! | `supervise`, `stop` | reads its output, ends it at its timeout or when the runner is stopped |
//! | `output`, `live_output`, `follow` | its output: to the journal, for onlookers, after its end |
//! | `attempt_processes`, `control_group`, `process_tree`, `leftovers` | the processes that it started, and those that it left running |

pub(crate) mod account;
pub(crate) mod attempt_processes;
pub(crate) mod control_group;
pub(crate) mod execute;
pub(crate) mod follow;
pub(crate) mod launcher;
pub(crate) mod leftovers;
pub(crate) mod live_output;
pub(crate) mod output;
pub(crate) mod process_tree;
pub(crate) mod script_file;
pub(crate) mod stop;
pub(crate) mod supervise;

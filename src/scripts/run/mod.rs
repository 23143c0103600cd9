//! One run of one script.
//!
//! | module | what it does |
//! |---|---|
//! | `execute` | the complete run: file, launcher, supervision |
//! | `account` | the user that the script runs as |
//! | `script_file` | the file of the script, in a folder of root's |
//! | `launcher` | the process that drops root's privileges and becomes the script (invariant S3) |
//! | `supervise`, `stop` | reads the output; ends the script at its timeout or when the runner is stopped |
//! | `output`, `live_output`, `follow` | the output: to the journal, for viewers, after the script's end |
//! | `attempt_processes`, `control_group`, `process_tree` | the processes that a script started |
//! | `leftovers` | the leftover processes of earlier runs |

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

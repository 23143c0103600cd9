//! General helpers: files, time, text, logging, other programs. They know nothing about the tasks of the agent.
//!
//! | module | what it does |
//! |---|---|
//! | `files` | atomic writes, bounded reads, locks |
//! | `labels` | SELinux labels |
//! | `time` | a time as RFC 3339 text |
//! | `duration` | the parser of durations such as `90s` |
//! | `random` | random numbers for ports and jitter, not for secrets |
//! | `suggest` | the known word nearest to a misspelt one |
//! | `printable` | escapes text from outside; the rule that no message quotes a value |
//! | `log`, `log_once`, `events` | the log; problems that are logged once; MESSAGE_IDs |
//! | `program` | runs another program, with bounds on time and output |
//! | `state_file` | parses versioned state files, and renames one that cannot be used |
//! | `state_json` | how states are read from JSON |

pub(crate) mod duration;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod labels;
pub(crate) mod log;
pub(crate) mod log_once;
pub(crate) mod printable;
pub(crate) mod program;
pub(crate) mod random;
pub(crate) mod state_file;
pub(crate) mod state_json;
pub(crate) mod suggest;
pub(crate) mod time;

pub use printable::is_shown;
pub use time::Moment;

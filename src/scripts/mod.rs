//! Setup scripts: from user data to the record of how they ended.
//!
//! | folder or module | what it does |
//! |---|---|
//! | `runner` | the work of a boot: fetches all scripts, decides which are due, runs them, writes the summary |
//! | `prepare` | what the first script waits for: the network, apt's daily job |
//! | `run` | one run of one script: user, processes, output, end |
//! | `history` | what is kept: records, the summary, the script that runs now |
//! | `cloud_init` | unpacks the value of the key `cloud-init` (pure) |
//! | `model` | what a script is: its key, header and settings; values that are likely mistakes (pure) |
//! | `preview` | what would become of a value (pure) |
//!
//! It runs as root on values from elsewhere, and checks all of them before it uses them. It writes a script's body to its own folder in /run
//! only, and never to a log (invariant S3).

pub(crate) mod cloud_init;
pub(crate) mod history;
pub(crate) mod model;
pub(crate) mod paths;
pub(crate) mod prepare;
pub(crate) mod preview;
pub(crate) mod run;
pub(crate) mod runner;

pub use cloud_init::unpack::{ItemContent, unpack};
pub use history::record::{Outcome, Record, RecordError, Records, Run};
pub use history::summary::Summary;
pub use model::header::When;
pub use model::script::{Digest, Script, ScriptError, ScriptKind};
pub use model::settings::{ScriptSettings, SetupSettings};
pub use model::wrong_form::WrongForm;
pub use preview::{Prediction, Preview};
pub use runner::due::{Decision, DueCheck, decide};

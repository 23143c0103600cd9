//! The scripts that the owner left in user data: which keys are scripts ([`script`](mod@script)), which of them are due ([`decide`](mod@decide),
//! pure), running one ([`execute`](mod@execute)), what is kept of it ([`record`](mod@record)), and the whole of one boot's work ([`run`](mod@run)).
//!
//! This room runs as root, and what it gets is somebody else's: it checks before it trusts. It never writes a script's body
//! anywhere but into its own 0700 folder, and never into a log (law S3).

mod decide;
mod execute;
mod record;
mod run;
mod script;
mod summary;

pub use decide::{Decision, decide};
pub use record::{Outcome, Record, RecordError, Records, Run};
pub use run::{BootRun, Places, SetupError, run_boot};
pub use script::{Digest, Interpreter, Script, ScriptError, ScriptKind};
pub use summary::{ScriptSummary, Summary};

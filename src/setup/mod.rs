//! The scripts that the owner left in user data: which keys are scripts ([`script`](mod@script)), what the key `cloud-init` holds where
//! cloud-init is not active ([`cloud_init`](mod@cloud_init), [`unpack`](mod@unpack), [`multipart`](mod@multipart)), all of them together ([`gather`](mod@gather)), what they ask for themselves
//! ([`header`](mod@header)) and what holds for them ([`policy`](mod@policy)), which of them are due ([`decide`](mod@decide)), all pure; one script's attempts in a boot
//! ([`boot`](mod@boot)), running it ([`execute`](mod@execute)) as somebody ([`account`](mod@account)), its [`output`](mod@output) and what it [`left`](mod@left); what is
//! kept of it ([`record`](mod@record)), the whole of one boot's work ([`run`](mod@run)), what runs at its end ([`shutdown`](mod@shutdown)), what a value would come to ([`preview`](mod@preview)) and its published [`outcome`](mod@outcome).
//!
//! This room runs as root, and what it gets is somebody else's: it checks before it trusts. It never writes a script's body
//! anywhere but into its own folder in /run, and never into a log (law S3).

mod account;
mod boot;
mod cloud_init;
mod decide;
mod execute;
mod gather;
mod gzip;
mod header;
mod launch;
mod left;
mod multipart;
mod outcome;
mod output;
mod policy;
mod preview;
mod record;
mod run;
mod script;
mod script_file;
mod shutdown;
mod summary;
mod unpack;

pub use account::{Account, AccountError};
pub use decide::{Decision, Question, decide};
pub use execute::follower;
pub use gather::is_of_a_boot;
pub use header::{Fault, Header, HeaderError, When};
pub use launch::launcher;
pub use multipart::MimeError;
pub use policy::{OnChange, Policy, Terms, TermsError};
pub use preview::{Fate, Part, Plan, Preview, Setting, Source};
pub use record::{Outcome, Record, RecordError, Records, Run};
pub use run::{BootRun, Choice, Places, SETUP_REQUESTED, SetupError, run_boot};
pub use script::{Digest, Interpreter, Script, ScriptError, ScriptKind};
pub use shutdown::{is_going_down, run_shutdown};
pub use summary::{PassedOver, ScriptSummary, Summary};
pub use unpack::{Content, Item, UnpackError, unpack};

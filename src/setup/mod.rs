//! The scripts that the owner left in user data: which keys are scripts ([`script`](mod@script)), what a value is that is none
//! ([`wrong_form`](mod@wrong_form)), what the key `cloud-init` holds where
//! cloud-init is not active ([`unpack`](mod@unpack), [`multipart`](mod@multipart)), all of them together ([`gather`](mod@gather)), what they ask for themselves
//! ([`header`](mod@header)) and what holds for them ([`policy`](mod@policy)), which of them are due ([`decide`](mod@decide)), all pure; one script's attempts in a boot
//! ([`boot`](mod@boot)), running it ([`execute`](mod@execute), [`attend`](mod@attend)) as somebody ([`account`](mod@account)), all that it started ([`attempt_processes`](mod@attempt_processes)), its
//! [`output`](mod@output), what it [`left`](mod@left), and which one runs now ([`running`](mod@running)); what is
//! kept of it ([`record`](mod@record)), the whole of one boot's work ([`run`](mod@run)), what runs at its end ([`shutdown`](mod@shutdown)), what a value would come to ([`preview`](mod@preview)), what is likely a mistake in
//! it ([`warnings`](mod@warnings)) or in its key ([`likely_key`](mod@likely_key)), and its published [`outcome`](mod@outcome).
//!
//! This room runs as root, and what it gets is somebody else's: it checks before it trusts. It never writes a script's body
//! anywhere but into its own folder in /run, and never into a log (law S3).

mod account;
mod apt;
mod attempt_processes;
mod attend;
mod boot;
mod control_group;
mod decide;
mod execute;
mod follow;
mod gather;
mod gzip;
mod header;
mod launch;
mod left;
mod likely_key;
mod live_output;
mod multipart;
mod network;
mod outcome;
mod output;
mod policy;
mod prepare;
mod preview;
mod process_tree;
mod record;
mod record_name;
mod resolver;
mod run;
mod running;
mod script;
mod script_file;
mod shutdown;
mod stop;
mod summary;
mod unpack;
mod values;
mod warnings;
mod wrong_form;

pub use account::{Account, AccountError};
pub use decide::{Decision, Question, decide};
pub use follow::follower;
pub use gather::is_of_a_boot;
pub use header::{Fault, Header, HeaderError, When};
pub use launch::launcher;
pub use likely_key::{hint, suspect_keys, unusable};
pub use live_output::OutputReader;
pub use multipart::MimeError;
pub use policy::{OnChange, Policy, Terms, TermsError};
pub use preview::{Fate, Part, Plan, Preview, Setting, Source};
pub use record::{Outcome, Record, RecordError, Records, Run};
pub use run::{BootRun, Choice, Places, SETUP_REQUESTED, SetupError, run_boot};
pub use running::Running;
pub use script::{Digest, Interpreter, Script, ScriptError, ScriptKind};
pub use shutdown::{is_going_down, run_shutdown};
pub use summary::{Network, PassedOver, ScriptSummary, Summary};
pub use unpack::{Content, Item, UnpackError, unpack};
pub use wrong_form::WrongForm;

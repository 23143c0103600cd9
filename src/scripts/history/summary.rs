//! The summary of this boot's scripts. It contains neither output nor scripts, because everybody may read it.
//!
//! The runner writes it as one world-readable file in /run, for the daemon's status. If the file exists, this boot's scripts have run.

use std::fmt;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::scripts::history::record::{Outcome, Run};
use crate::scripts::model::script::{Digest, ScriptKind};
use crate::util::state_json::{InvalidState, StateFields};
use crate::util::time::Moment;
use crate::util::{files, printable};

/// The limit for the file, in bytes.
const MAX_SUMMARY_BYTES: u64 = 4 * 1024 * 1024;

/// The summary of one boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// When the runner ended.
    pub ended: Moment,
    /// The scripts in user data, in the order in which they run.
    pub scripts: Vec<ScriptSummary>,
    /// The items of the key `cloud-init` that do not run, without being a failure: those that need cloud-init where that is not active, and
    /// those that an earlier version skipped.
    #[serde(rename = "passed_over", default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedItem>,
    /// The state of the network when the first script of the boot started. Absent if none started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
}

/// The state of the network when a script started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", try_from = "StateFields")]
pub enum Network {
    /// systemd's network-online.target was active.
    Online,
    /// There was a default route, and a resolver answered.
    ResolverAnswered {
        /// The resolver's address.
        resolver: String,
    },
    /// Neither was the case within `[setup] network-wait`.
    NotReady {
        /// What was missing.
        why: String,
    },
    /// `[setup] network-wait` is zero.
    NotAwaited,
}

impl TryFrom<StateFields> for Network {
    type Error = InvalidState;

    fn try_from(tagged: StateFields) -> Result<Self, InvalidState> {
        match (&*tagged.state, tagged.resolver, tagged.why) {
            ("online", ..) => Ok(Self::Online),
            ("resolver-answered", Some(resolver), _) => Ok(Self::ResolverAnswered { resolver }),
            ("not-ready", _, Some(why)) => Ok(Self::NotReady { why }),
            ("not-awaited", ..) => Ok(Self::NotAwaited),
            _ => Err(InvalidState),
        }
    }
}

/// An item of the key `cloud-init` that does not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedItem {
    /// The user data key, followed by the name of the part, if it is one.
    pub key: String,
    /// cloud-init's name for it, such as `#cloud-config`.
    pub what: String,
    /// Whether this version of the agent would run it, but an earlier one skipped it. This stays so until its content changes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_earlier_version: bool,
}

impl SkippedItem {
    /// Why it does not run, as a text for a person.
    pub fn why(&self) -> &'static str {
        if self.by_earlier_version {
            "an earlier version of the agent did not run it for this Instance; it runs when its content changes"
        } else {
            "it needs cloud-init, which is not active here"
        }
    }
}

/// One script and its latest run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptSummary {
    /// The user data key.
    pub key: String,
    /// The kind of the script.
    pub kind: ScriptKind,
    /// Whether it ran in this boot.
    pub ran_now: bool,
    /// How its latest run ended.
    pub outcome: Outcome,
    /// The number of the latest attempt, if it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// When the latest run started, if it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Moment>,
    /// How long the latest run took, if it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// The SHA-256 of the content that ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

impl ScriptSummary {
    /// The summary of a run.
    pub fn of(key: String, kind: ScriptKind, run: &Run, ran_now: bool) -> Self {
        let length = run.ended.map(|ended| ended.since(run.started));
        Self {
            key,
            kind,
            ran_now,
            outcome: run.outcome.clone().unwrap_or(Outcome::Unknown),
            attempt: Some(run.attempt),
            started: Some(run.started),
            duration_ms: length.map(|length| u64::try_from(length.as_millis()).unwrap_or(u64::MAX)),
            digest: Some(run.digest.clone()),
        }
    }

    /// The summary of a script that could not run.
    pub fn not_run(key: String, kind: ScriptKind, why: String) -> Self {
        let outcome = Outcome::NotRun(why);
        Self {
            key,
            kind,
            ran_now: false,
            outcome,
            attempt: None,
            started: None,
            duration_ms: None,
            digest: None,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Online => f.write_str("network-online.target is active"),
            Self::ResolverAnswered { resolver } => {
                write!(f, "there is a default route, and the resolver {resolver} answers")
            }
            Self::NotReady { why } => f.write_str(why),
            Self::NotAwaited => f.write_str("not awaited"),
        }
    }
}

impl Summary {
    /// Whether all scripts succeeded.
    pub fn is_success(&self) -> bool {
        self.scripts.iter().all(|script| script.outcome.is_success())
    }

    /// This summary, updated with the outcomes of a later run of some of its scripts.
    #[must_use]
    pub fn updated_with(mut self, later: &Self) -> Self {
        self.ended = later.ended;
        self.network = later.network.clone().or(self.network);
        for script in &later.scripts {
            // A script that is not in it, such as a shutdown script, is not one of this boot's scripts.
            let earlier = self.scripts.iter_mut().find(|earlier| earlier.key == script.key);
            earlier.into_iter().for_each(|earlier| *earlier = script.clone());
        }
        self
    }

    /// Reads the file. `None` if there is none yet.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let Some(bytes) = files::read_bounded(path, MAX_SUMMARY_BYTES)? else { return Ok(None) };
        let malformed = |why| io::Error::other(printable::json_fault(&why));
        serde_json::from_slice(&bytes).map(Some).map_err(malformed)
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        files::write_atomic(path, &serde_json::to_vec(self)?, 0o644)
    }
}

//! What everybody may know of this boot's scripts: no output, no body. The runner writes it as one world-readable file in /run, for
//! the daemon's status; that the file is there means that this boot's work was done.

use std::fmt;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::scripts::history::record::{Outcome, Run};
use crate::scripts::model::script::{Digest, ScriptKind};
use crate::util::files;
use crate::util::printable;
use crate::util::tagged::{NotAState, Tagged};
use crate::util::time::Moment;

const LARGEST: u64 = 4 * 1024 * 1024;

/// One boot's work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// When the work was done.
    pub ended: Moment,
    /// The scripts that user data holds, in the order in which they run.
    pub scripts: Vec<ScriptSummary>,
    /// What the key `cloud-init` holds that is no script, where cloud-init is not active: it is not run, and that is no failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<PassedOver>,
    /// How the network was when the first script of the boot started; absent where none was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
}

/// What was known of the network when a script started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", try_from = "Tagged")]
pub enum Network {
    /// systemd's network-online.target was active.
    Online,
    /// There was a default route, and this resolver answered.
    ResolverAnswered {
        /// Its address.
        resolver: String,
    },
    /// Neither within `[setup] network-wait`.
    NotReady {
        /// What was missing.
        why: String,
    },
    /// `[setup] network-wait` is zero.
    NotAwaited,
}

impl TryFrom<Tagged> for Network {
    type Error = NotAState;

    fn try_from(tagged: Tagged) -> Result<Self, NotAState> {
        match (&*tagged.state, tagged.resolver, tagged.why) {
            ("online", ..) => Ok(Self::Online),
            ("resolver-answered", Some(resolver), _) => Ok(Self::ResolverAnswered { resolver }),
            ("not-ready", _, Some(why)) => Ok(Self::NotReady { why }),
            ("not-awaited", ..) => Ok(Self::NotAwaited),
            _ => Err(NotAState),
        }
    }
}

/// Something in the key `cloud-init` that is not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// The user data key, with the part's name behind it.
    pub key: String,
    /// cloud-init's name for it, such as `#cloud-config`.
    pub what: String,
    /// Whether an earlier version of the agent passed it over, and this one would run it: it stays so until its content changes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_earlier_version: bool,
}

impl PassedOver {
    /// Why it is not run, for a person.
    pub fn why(&self) -> &'static str {
        if self.by_earlier_version {
            "an earlier version of the agent passed it over for this Instance; it runs when its content changes"
        } else {
            "it needs cloud-init, which is not active here"
        }
    }
}

/// One script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptSummary {
    /// The user data key.
    pub key: String,
    /// When it runs.
    pub kind: ScriptKind,
    /// Whether it was this boot that ran it.
    pub ran_now: bool,
    /// How its latest run ended.
    pub outcome: Outcome,
    /// The latest run's number, where it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The latest run's beginning, where it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Moment>,
    /// How long it took, where it ran to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// The SHA-256 of what ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

impl ScriptSummary {
    /// Tells of a run.
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

    /// Tells of a script that could not be run at all.
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
    /// Whether every script is well.
    pub fn is_success(&self) -> bool {
        self.scripts.iter().all(|script| script.outcome.is_success())
    }

    /// The same with what a later run of some of its scripts came to.
    #[must_use]
    pub fn with(mut self, later: &Self) -> Self {
        self.ended = later.ended;
        self.network = later.network.clone().or(self.network);
        for script in &later.scripts {
            // What runs when the machine goes down is no part of a boot's work.
            let known = self.scripts.iter_mut().find(|known| known.key == script.key);
            known.into_iter().for_each(|known| *known = script.clone());
        }
        self
    }

    /// Reads the file; `None` where there is none yet.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let Some(bytes) = files::read_bounded(path, LARGEST)? else { return Ok(None) };
        let malformed = |why| io::Error::other(printable::json_fault(&why));
        serde_json::from_slice(&bytes).map(Some).map_err(malformed)
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        files::write_whole(path, &serde_json::to_vec(self)?, 0o644)
    }
}

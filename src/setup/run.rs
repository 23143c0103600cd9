//! The runner: one boot's work, from the list of keys to the summary. It reads as the whole program.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::body::Bytes;
use nix::fcntl::{Flock, FlockArg};

use super::decide::{Decision, decide};
use super::execute::{Order, Stop, execute};
use super::record::{Outcome, Record, RecordError, Records, Run};
use super::script::{Digest, Script, ScriptKind};
use super::summary::{ScriptSummary, Summary};
use crate::files;
use crate::metadata::{Ask, ErrorKind, Instance, MetadataError, UserDataKey};
use crate::moment::Moment;

/// Where the runner keeps what it keeps.
#[derive(Clone, Debug)]
pub struct Places {
    /// Records and running scripts; root's alone.
    pub state: PathBuf,
    /// The summary of this boot's work.
    pub summary: PathBuf,
    /// The file by which the daemon asks for a run.
    pub request: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            state: "/var/lib/scw-agent/setup".into(),
            summary: "/run/scw-agent-setup/summary.json".into(),
            request: "/run/scw-agent/setup-requested".into(),
        }
    }
}

/// What came of asking for this boot's work.
#[derive(Debug)]
pub enum BootRun {
    /// It was done by an earlier call; nothing ran (law S4).
    AlreadyDone(Summary),
    /// It is done now.
    Done(Summary),
    /// It was told to stop before all was done. What was cut off starts again.
    Stopped,
    /// The metadata service cannot be reached yet, so nothing is known of scripts; the daemon asks again when it can be.
    NotYet(MetadataError),
}

/// Why the work could not be done.
#[derive(Debug)]
pub enum SetupError {
    /// The state folder cannot be used.
    State(RecordError),
    /// The same, for a file other than a record.
    File(PathBuf, io::Error),
}

/// Runs the scripts that are due, once in a boot.
pub async fn run_boot(api: &mut impl Ask, places: &Places, timeout: Duration) -> Result<BootRun, SetupError> {
    // Taken back first of all: what changes later is asked for anew, and a request that stayed would start this again at once.
    files::remove_anything(&places.request);
    let records = Records::open(&places.state).map_err(SetupError::State)?;
    let _lock = lock(&places.state)?;
    let mut stop = Stop::listen().map_err(|why| SetupError::File(places.state.clone(), why))?;
    if let Ok(Some(summary)) = Summary::read(&places.summary) {
        return Ok(BootRun::AlreadyDone(summary));
    }

    let (instance, found) = match gather(api).await {
        Ok(gathered) => gathered,
        Err(why) => return Ok(BootRun::NotYet(why)),
    };
    let boot = Boot { instance, id: boot_id(), records, timeout };
    let mut scripts = Vec::new();
    for script in found {
        match boot.one(script, &mut stop).await {
            Some(summary) => scripts.push(summary),
            None => return Ok(BootRun::Stopped),
        }
    }
    let summary = Summary { ended: Moment::now(), scripts };
    let folder = places.summary.parent().unwrap_or(Path::new("/"));
    let file = |why| SetupError::File(places.summary.clone(), why);
    fs::create_dir_all(folder).map_err(file)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(file)?;
    summary.write(&places.summary).map_err(file)?;
    // The daemon may have asked again while a script took its time.
    files::remove_anything(&places.request);
    Ok(BootRun::Done(summary))
}

/// A script as user data has it.
struct Found {
    key: UserDataKey,
    kind: ScriptKind,
    body: Result<Bytes, MetadataError>,
}

/// Fetches everything before anything runs: a script may take the network down, and half a boot's work is none.
///
/// # Errors
/// When the service fails in a way that may pass. An answer that will not change is that script's own trouble.
async fn gather(api: &mut impl Ask) -> Result<(Instance, Vec<Found>), MetadataError> {
    let instance = api.instance().await?;
    let mut found = Vec::new();
    for key in api.list().await? {
        let Some(kind) = ScriptKind::of(&key) else { continue };
        let body = match api.get(&key).await {
            Ok(Some(body)) => Ok(body),
            // Deleted since it was listed.
            Ok(None) => continue,
            Err(why) if why.kind() == ErrorKind::BadAnswer => Err(why),
            Err(why) => return Err(why),
        };
        found.push(Found { key, kind, body });
    }
    Ok((instance, found))
}

/// One runner at a time: the unit and a person may meet.
fn lock(folder: &Path) -> Result<Flock<File>, SetupError> {
    let failed = |why| SetupError::File(folder.to_owned(), why);
    let file = File::open(folder).map_err(failed)?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, why)| failed(why.into()))
}

/// The kernel's id of this boot; it differs at every boot, and where it cannot be read, every run counts as another boot's.
fn boot_id() -> String {
    let id = files::read_bounded(Path::new("/proc/sys/kernel/random/boot_id"), 128).ok().flatten();
    String::from_utf8_lossy(&id.unwrap_or_default()).trim().to_owned()
}

/// What all scripts of a boot have in common.
struct Boot {
    instance: Instance,
    id: String,
    records: Records,
    timeout: Duration,
}

impl Boot {
    /// Does what is due for one key; whatever goes wrong is told, and stops no other script. `None` when told to stop.
    async fn one(&self, found: Found, stop: &mut Stop) -> Option<ScriptSummary> {
        let (key, kind) = (&found.key, found.kind);
        let not_run = |why: String| {
            tracing::error!(SCW_SCRIPT = %key, "{key}: not run: {why}");
            ScriptSummary::not_run(key.to_string(), kind, why)
        };
        let body = match found.body {
            Ok(body) => body,
            Err(why) => return Some(not_run(why.to_string())),
        };
        let digest = Digest::of(&body);
        let mut record = match self.records.read(key) {
            Ok(record) => record,
            Err(why @ RecordError::Unreadable(..)) => {
                tracing::error!(SCW_SCRIPT = %key, "{key}: {why}; it is set aside");
                return Some(self.keep_unknown(key, kind, digest));
            }
            Err(why) => return Some(not_run(why.to_string())),
        };
        match decide(kind, &digest, &self.instance.id, &self.id, &record) {
            Decision::Run { attempt } => match self.run(key, &body, digest, attempt, &mut record, stop).await
            {
                Ok(run) if run.outcome.is_none() => None,
                Ok(run) => Some(ScriptSummary::of(key.to_string(), kind, &run, true)),
                Err(why) => Some(not_run(why.to_string())),
            },
            Decision::Done => {
                let same = |run: &&Run| run.digest == digest && run.outcome.is_some();
                let last = record.runs.iter().rev().find(same).or(record.runs.last());
                Some(match last {
                    Some(run) => ScriptSummary::of(key.to_string(), kind, run, false),
                    None => not_run("its record is empty".to_owned()),
                })
            }
            Decision::GivenUp => {
                Some(not_run("it was cut off too often; it is not started again for this content".to_owned()))
            }
        }
    }

    /// A lost record must not look like a script that never ran (law D1).
    fn keep_unknown(&self, key: &UserDataKey, kind: ScriptKind, digest: Digest) -> ScriptSummary {
        let run = Run { outcome: Some(Outcome::Unknown), ..self.new_run(digest, 1) };
        let kept = self
            .records
            .set_aside(key)
            .and_then(|()| self.records.write(key, &mut Record::default(), run.clone()));
        if let Err(why) = kept {
            tracing::error!(SCW_SCRIPT = %key, "{key}: {why}");
        }
        ScriptSummary::of(key.to_string(), kind, &run, false)
    }

    fn new_run(&self, digest: Digest, attempt: u32) -> Run {
        Run {
            digest,
            instance: self.instance.id.clone(),
            boot: self.id.clone(),
            attempt,
            started: Moment::now(),
            ended: None,
            outcome: None,
            output: String::new(),
        }
    }

    /// Records that the script starts, runs it, records how it ended.
    async fn run(
        &self,
        key: &UserDataKey,
        body: &[u8],
        digest: Digest,
        attempt: u32,
        record: &mut Record,
        stop: &mut Stop,
    ) -> Result<Run, RecordError> {
        let mut run = self.new_run(digest, attempt);
        self.records.write(key, record, run.clone())?;
        (run.outcome, run.output) = match Script::parse(body) {
            Ok(script) => {
                let id = &self.instance.id;
                tracing::info!(SCW_SCRIPT = %key, SCW_INSTANCE_ID = %id, "{key}: started (attempt {attempt})");
                let environment = self.environment(key, attempt);
                let path = self.records.script_path(key);
                let order = Order { key, script, path: &path, timeout: self.timeout, environment };
                execute(&order, stop).await
            }
            Err(why) => (Some(Outcome::NotRun(why.to_string())), String::new()),
        };
        if run.outcome.is_none() {
            tracing::warn!(SCW_SCRIPT = %key, "{key}: cut off, since the runner was told to stop; it starts again at the next boot");
            return Ok(run);
        }
        run.ended = Some(Moment::now());
        if let Err(why) = self.records.write(key, record, run.clone()) {
            // It ran all the same, and the summary says how it ended.
            tracing::error!(SCW_SCRIPT = %key, "{key}: {why}; at the next boot it will look cut off, and start again");
        }
        self.tell(key, &run);
        Ok(run)
    }

    fn environment(&self, key: &UserDataKey, attempt: u32) -> Vec<(&'static str, String)> {
        let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
        vec![
            ("SCW_INSTANCE_ID", self.instance.id.to_string()),
            ("SCW_ZONE", or_empty(&self.instance.zone)),
            ("SCW_HOSTNAME", or_empty(&self.instance.hostname)),
            ("SCW_SCRIPT", key.to_string()),
            ("SCW_SETUP_ATTEMPT", attempt.to_string()),
        ]
    }

    fn tell(&self, key: &UserDataKey, run: &Run) {
        let Some(outcome) = &run.outcome else { return };
        let length =
            humantime::format_duration(run.ended.unwrap_or(run.started).since(run.started)).to_string();
        let exit_status = if let Outcome::Exit(code) = outcome { Some(*code) } else { None };
        let id = &self.instance.id;
        if outcome.is_success() {
            tracing::info!(SCW_SCRIPT = %key, SCW_INSTANCE_ID = %id, SCW_EXIT_STATUS = exit_status, "{key}: {outcome} after {length}");
        } else {
            tracing::error!(SCW_SCRIPT = %key, SCW_INSTANCE_ID = %id, SCW_EXIT_STATUS = exit_status, "{key}: {outcome} after {length}");
        }
    }
}

impl SetupError {
    /// Whether it is a matter of who runs this.
    pub fn is_permission(&self) -> bool {
        let (Self::State(RecordError::File(_, why)) | Self::File(_, why)) = self else { return false };
        why.kind() == io::ErrorKind::PermissionDenied
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(why) => why.fmt(f),
            Self::File(path, why) => write!(f, "{} cannot be used: {why}", path.display()),
        }
    }
}

impl std::error::Error for SetupError {}

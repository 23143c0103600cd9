//! The records of scripts: one JSON file per script with all its runs, written before a run starts and after it ends (invariants S1, S2, D1).
//!
//! The format has a version. If a record has another version or cannot be read, the runner renames the file (it is *set aside*) and writes a
//! new record with the outcome "unknown". The script does not run, because it may have run before. Reading a record changes nothing.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::metadata::api::instance::InstanceId;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::history::record_name::{self, Stem};
use crate::scripts::history::value_rules;
use crate::scripts::model::script::Digest;
use crate::util::files;
use crate::util::random;
use crate::util::state_file;
use crate::util::time::Moment;

/// The version of the records' format.
const VERSION: u32 = 1;
/// The number of runs kept for each script; older ones are removed. It is high, because a content whose run is removed would run again.
const MAX_RUNS: usize = 500;
/// Only this many of the latest runs keep their output.
const MAX_RUNS_WITH_OUTPUT: usize = 20;
/// The limit for a record, in bytes. A larger file is treated as unreadable.
const MAX_RECORD_BYTES: u64 = 4 * 1024 * 1024;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The script's exit code.
    Exit(i32),
    /// The signal that killed it.
    Signal(i32),
    /// It reached its timeout and was killed.
    TimedOut,
    /// It was not started, for this reason.
    NotRun(String),
    /// The outcome is not known: the record was lost, or the system gave no exit status.
    Unknown,
}

impl Outcome {
    /// Whether the script ran and succeeded.
    pub fn is_success(&self) -> bool {
        *self == Self::Exit(0)
    }

    /// Whether the script ran and failed.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Exit(code) => *code != 0,
            Self::Signal(_) | Self::TimedOut => true,
            Self::NotRun(_) | Self::Unknown => false,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "killed by {signal}"),
                Err(_) => write!(f, "killed by signal {number}"),
            },
            Self::TimedOut => f.write_str("timed out"),
            Self::NotRun(why) => write!(f, "not run: {why}"),
            Self::Unknown => f.write_str(
                "unknown: no exit status is known, or the record could not be read and was set aside",
            ),
        }
    }
}

/// One run of a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// A random identifier. All processes of the run have it in their environment (`SCW_SETUP_RUN`).
    #[serde(default)]
    pub id: String,
    /// The digest of the content that ran.
    pub digest: Digest,
    /// The Instance on which it ran.
    pub instance: InstanceId,
    /// The kernel's ID of the boot.
    pub boot: String,
    /// The number of the attempt, counted from 1. The script gets it as `SCW_SETUP_ATTEMPT`.
    pub attempt: u32,
    /// When it started.
    pub started: Moment,
    /// When it ended. Absent while it runs, and if it was cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Moment>,
    /// How it ended. Absent while it runs, and if it was cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The end of its output.
    #[serde(default)]
    pub output: String,
    /// Its leftover processes.
    #[serde(rename = "left", default, skip_serializing_if = "Vec::is_empty")]
    pub leftovers: Vec<String>,
    /// Whether its user data key was deleted afterwards, because of `delete-after-success`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

impl Run {
    /// A first attempt that starts at this time.
    pub fn new(digest: Digest, instance: InstanceId, started: Moment) -> Self {
        Self {
            id: format!("{:016x}", random::generator().u64(..)),
            digest,
            instance,
            boot: String::new(),
            attempt: 1,
            started,
            ended: None,
            outcome: None,
            output: String::new(),
            leftovers: Vec::new(),
            deleted: false,
        }
    }
}

/// The record of one script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub(crate) version: u32,
    /// The user data key, if the file's name is a hash of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// Oldest first.
    pub runs: Vec<Run>,
}

impl Default for Record {
    fn default() -> Self {
        Self { version: VERSION, key: None, runs: Vec::new() }
    }
}

/// Why a record cannot be used.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The file cannot be read or written.
    #[error("cannot use the record {}: {}", .0.display(), .1)]
    File(PathBuf, #[source] io::Error),
    /// The file is not a valid record, or such a file was set aside and has this path now.
    #[error("{} is not a valid record: {}", .0.display(), .1)]
    Unreadable(PathBuf, String),
    /// The folder belongs to another user, or other users may write into it.
    #[error("{} must belong to root, and only root may write to it; no script runs", .0.display())]
    Untrusted(PathBuf),
}

/// The folder of records.
#[derive(Clone, Debug)]
pub struct Records {
    folder: PathBuf,
}

impl Records {
    /// Opens the folder, and makes it if it is missing.
    pub fn open(folder: &Path) -> Result<Self, RecordError> {
        let failed = |why| RecordError::File(folder.to_owned(), why);
        let parent = folder.parent().unwrap_or(Path::new("/"));
        files::create_private_folder(parent).map_err(failed)?;
        check_owner(parent)?;
        value_rules::mark_new_disk(folder).map_err(failed)?;
        files::create_private_folder(folder).map_err(failed)?;
        check_owner(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    fn path(&self, key: &UserDataKey) -> PathBuf {
        self.folder.join(record_name::of(key))
    }

    /// Reads a script's record. Returns an empty one if the script has never had one.
    ///
    /// # Errors
    /// [`RecordError::Unreadable`] when the file is not a valid record, or when such a file was set aside. Neither case is a first boot.
    pub fn read(&self, key: &UserDataKey) -> Result<Record, RecordError> {
        let path = self.path(key);
        let bytes = match files::read_bounded(&path, MAX_RECORD_BYTES) {
            Ok(None) => {
                return match self.find_set_aside(key) {
                    Some(path) => Err(RecordError::Unreadable(path, "it was set aside earlier".to_owned())),
                    None => Ok(Record::default()),
                };
            }
            Ok(Some(bytes)) => bytes,
            Err(why) if why.kind() == io::ErrorKind::FileTooLarge => {
                return Err(RecordError::Unreadable(path, why.to_string()));
            }
            Err(why) => return Err(RecordError::File(path, why)),
        };
        state_file::parse(&bytes, VERSION).map_err(|why| RecordError::Unreadable(path, why))
    }

    /// Adds a run to the record, or replaces the run with the same ID, and writes the record.
    pub fn write(&self, key: &UserDataKey, record: &mut Record, run: Run) -> Result<(), RecordError> {
        match record.runs.iter_mut().rfind(|recorded| recorded.id == run.id) {
            Some(recorded) => *recorded = run,
            None => record.runs.push(run),
        }
        let surplus = record.runs.len().saturating_sub(MAX_RUNS);
        record.runs.drain(..surplus);
        let older = record.runs.len().saturating_sub(MAX_RUNS_WITH_OUTPUT);
        record.runs[..older].iter_mut().for_each(|run| run.output.clear());
        record.key = record_name::is_hashed(key).then(|| key.as_str().to_owned());
        // A script may have removed the folder.
        files::create_private_folder(&self.folder)
            .map_err(|why| RecordError::File(self.folder.clone(), why))?;
        let path = self.path(key);
        let written = serde_json::to_vec_pretty(record).map_err(io::Error::from);
        written
            .and_then(|bytes| files::write_atomic(&path, &bytes, 0o600))
            .map_err(|why| RecordError::File(path, why))
    }

    /// Renames a file that is not a valid record, so that a new record can be written.
    pub fn set_aside(&self, key: &UserDataKey) -> Result<(), RecordError> {
        let path = self.path(key);
        let new_name = format!("{}{}", record_name::set_aside_prefix(key), Moment::now());
        match fs::rename(&path, self.folder.join(new_name)) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(RecordError::File(path, why)),
            _ => Ok(()),
        }
    }

    /// The path of a file that was set aside for this key, if there is one.
    fn find_set_aside(&self, key: &UserDataKey) -> Option<PathBuf> {
        let prefix = record_name::set_aside_prefix(key);
        let mut entries = fs::read_dir(&self.folder).ok()?.flatten();
        let entry =
            entries.find(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)));
        entry.map(|entry| entry.path())
    }

    /// The keys that have a record, in byte order.
    pub fn keys(&self) -> io::Result<Vec<UserDataKey>> {
        let mut keys = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            keys.extend(name.to_str().and_then(|name| self.key_of(name)));
        }
        keys.sort_unstable();
        Ok(keys)
    }

    /// Whether there are runs in the records, and all of them were on other Instances.
    pub(crate) fn ran_elsewhere_only(&self, instance: &InstanceId) -> bool {
        let keys = self.keys().unwrap_or_default();
        let mut runs =
            keys.iter().filter_map(|key| self.read(key).ok()).flat_map(|record| record.runs).peekable();
        runs.peek().is_some() && runs.all(|run| run.instance != *instance)
    }

    /// The key whose record has this file name.
    fn key_of(&self, name: &str) -> Option<UserDataKey> {
        match record_name::stem(name)? {
            Stem::Key(key) => Some(key),
            Stem::Hash => {
                let bytes = files::read_bounded(&self.folder.join(name), MAX_RECORD_BYTES).ok().flatten()?;
                let key = serde_json::from_slice::<Record>(&bytes).ok()?.key?;
                UserDataKey::new(&key).ok().filter(|key| record_name::of(key) == name)
            }
        }
    }
}

/// Checks that only root can write to the folder: the records decide what runs as root.
fn check_owner(folder: &Path) -> Result<(), RecordError> {
    let metadata = fs::symlink_metadata(folder).map_err(|why| RecordError::File(folder.to_owned(), why))?;
    let is_trusted = metadata.is_dir()
        && metadata.uid() == nix::unistd::geteuid().as_raw()
        && metadata.mode() & 0o022 == 0;
    if is_trusted { Ok(()) } else { Err(RecordError::Untrusted(folder.to_owned())) }
}

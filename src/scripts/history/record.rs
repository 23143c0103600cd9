//! What is kept of a script's runs: one JSON file a script, written before the script starts and after it ended (laws S1, S2, D1).
//!
//! The format has a version. A record of a higher version, or one that cannot be read, is set aside under another name by the
//! runner; a record is put in its place that says so, and the script is not run "because unknown". Reading alone changes nothing.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::metadata::api::instance::InstanceId;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::history::record_name;
use crate::scripts::history::record_name::Stem;
use crate::scripts::history::value_readings;
use crate::scripts::model::script::Digest;
use crate::util::files;
use crate::util::time::Moment;
use crate::util::{printable, random};

const VERSION: u32 = 1;
/// Runs kept for each script; the oldest go. A content that is forgotten would run again, so they are many…
const MOST_RUNS: usize = 500;
/// …but the output is kept of the latest ones only.
const WITH_OUTPUT: usize = 20;
const LARGEST: u64 = 4 * 1024 * 1024;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The script's exit code.
    Exit(i32),
    /// The signal that killed it.
    Signal(i32),
    /// It ran for longer than it may, and was ended.
    TimedOut,
    /// It was not started; why.
    NotRun(String),
    /// The record of the run was lost.
    Unknown,
}

impl Outcome {
    /// Whether all is well.
    pub fn is_success(&self) -> bool {
        *self == Self::Exit(0)
    }

    /// Whether the script ran, and not well.
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
            Self::TimedOut => f.write_str("ended: it ran for longer than it may"),
            Self::NotRun(why) => write!(f, "not run: {why}"),
            Self::Unknown => {
                f.write_str("not known: the record of its runs could not be read, and was set aside")
            }
        }
    }
}

/// One run of a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// A word of its own, which all its processes carry in their environment (`SCW_SETUP_RUN`).
    #[serde(default)]
    pub id: String,
    /// The content that ran.
    pub digest: Digest,
    /// The Instance it ran on.
    pub instance: InstanceId,
    /// The kernel's id of the boot.
    pub boot: String,
    /// Counted from 1; the script knows it as `SCW_SETUP_ATTEMPT`.
    pub attempt: u32,
    /// When it was started.
    pub started: Moment,
    /// When it ended; absent while it runs, and where it was cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Moment>,
    /// How it ended; absent likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The end of its output.
    #[serde(default)]
    pub output: String,
    /// What it left running.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
    /// Whether its user data key was deleted afterwards, as it asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

impl Run {
    /// A first run that starts now.
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
            left: Vec::new(),
            deleted: false,
        }
    }
}

/// All that is kept of one script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub(crate) version: u32,
    /// The key, where the file's name does not tell it.
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

/// A record that cannot be used.
#[derive(Debug)]
pub enum RecordError {
    /// The file cannot be read or written.
    File(PathBuf, io::Error),
    /// The file is not a record, or was none and stands under another name by now.
    Unreadable(PathBuf, String),
    /// The folder belongs to somebody else, or others may write into it.
    Untrusted(PathBuf),
}

/// The folder of records.
#[derive(Clone, Debug)]
pub struct Records {
    folder: PathBuf,
}

impl Records {
    /// Opens the folder, which is made when missing.
    pub fn open(folder: &Path) -> Result<Self, RecordError> {
        let failed = |why| RecordError::File(folder.to_owned(), why);
        let parent = folder.parent().unwrap_or(Path::new("/"));
        files::private_folder(parent).map_err(failed)?;
        check_owner(parent)?;
        value_readings::mark_new_disk(folder).map_err(failed)?;
        files::private_folder(folder).map_err(failed)?;
        check_owner(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    fn path(&self, key: &UserDataKey) -> PathBuf {
        self.folder.join(record_name::of(key))
    }

    /// Reads a script's record; an empty one where there never was one.
    ///
    /// # Errors
    /// [`RecordError::Unreadable`] when the file is no record, or was none and was set aside: neither is a first boot.
    pub fn read(&self, key: &UserDataKey) -> Result<Record, RecordError> {
        let path = self.path(key);
        let bytes = match files::read_bounded(&path, LARGEST) {
            Ok(None) => {
                return match self.aside(key) {
                    Some(aside) => Err(RecordError::Unreadable(aside, "it was set aside earlier".to_owned())),
                    None => Ok(Record::default()),
                };
            }
            Ok(Some(bytes)) => bytes,
            Err(why) if why.kind() == io::ErrorKind::FileTooLarge => {
                return Err(RecordError::Unreadable(path, why.to_string()));
            }
            Err(why) => return Err(RecordError::File(path, why)),
        };
        match serde_json::from_slice::<Record>(&bytes) {
            Ok(record) if record.version == VERSION => Ok(record),
            Ok(record) => {
                let why = format!("its version is {}, this program's {VERSION}", record.version);
                Err(RecordError::Unreadable(path, why))
            }
            Err(why) => Err(RecordError::Unreadable(path, printable::json_fault(&why))),
        }
    }

    /// Adds a run, or takes the place of what was known of the same run, and writes the record.
    pub fn write(&self, key: &UserDataKey, record: &mut Record, run: Run) -> Result<(), RecordError> {
        match record.runs.iter_mut().rfind(|known| known.id == run.id) {
            Some(known) => *known = run,
            None => record.runs.push(run),
        }
        let surplus = record.runs.len().saturating_sub(MOST_RUNS);
        record.runs.drain(..surplus);
        let older = record.runs.len().saturating_sub(WITH_OUTPUT);
        record.runs[..older].iter_mut().for_each(|run| run.output.clear());
        record.key = record_name::is_hashed(key).then(|| key.as_str().to_owned());
        // A script may have removed the folder.
        files::private_folder(&self.folder).map_err(|why| RecordError::File(self.folder.clone(), why))?;
        let path = self.path(key);
        let written = serde_json::to_vec_pretty(record).map_err(io::Error::from);
        written
            .and_then(|bytes| files::write_whole(&path, &bytes, 0o600))
            .map_err(|why| RecordError::File(path, why))
    }

    /// Gives a file that is no record another name, so that there can be a record again.
    pub fn set_aside(&self, key: &UserDataKey) -> Result<(), RecordError> {
        let path = self.path(key);
        let aside = format!("{}{}", record_name::aside(key), Moment::now());
        match fs::rename(&path, self.folder.join(aside)) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(RecordError::File(path, why)),
            _ => Ok(()),
        }
    }

    /// What was set aside in the place of this record.
    fn aside(&self, key: &UserDataKey) -> Option<PathBuf> {
        let begin = record_name::aside(key);
        let entries = fs::read_dir(&self.folder).ok()?.flatten();
        let mut found =
            entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(&begin)));
        found.next().map(|entry| entry.path())
    }

    /// The keys that there is a record of, in byte order.
    pub fn keys(&self) -> io::Result<Vec<UserDataKey>> {
        let mut keys = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            keys.extend(name.to_str().and_then(|name| self.key_of(name)));
        }
        keys.sort_unstable();
        Ok(keys)
    }

    /// Whether all runs that are recorded were on other Instances. Without any record, that is not known.
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
                let bytes = files::read_bounded(&self.folder.join(name), LARGEST).ok().flatten()?;
                let key = serde_json::from_slice::<Record>(&bytes).ok()?.key?;
                UserDataKey::new(&key).ok().filter(|key| record_name::of(key) == name)
            }
        }
    }
}

/// The records decide what runs as root, so that nobody else may write there.
fn check_owner(folder: &Path) -> Result<(), RecordError> {
    let there = fs::symlink_metadata(folder).map_err(|why| RecordError::File(folder.to_owned(), why))?;
    let is_ours =
        there.is_dir() && there.uid() == nix::unistd::geteuid().as_raw() && there.mode() & 0o022 == 0;
    if is_ours { Ok(()) } else { Err(RecordError::Untrusted(folder.to_owned())) }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, why) => write!(f, "the record {} cannot be used: {why}", path.display()),
            Self::Unreadable(path, why) => write!(f, "{} is no record of scripts: {why}", path.display()),
            Self::Untrusted(path) => {
                write!(
                    f,
                    "{} must be root's, and nobody else may write there: nothing is run on its word",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for RecordError {}

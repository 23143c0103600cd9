//! The file that shows which script runs now, for `status` and `setup show` (invariant S2).
//!
//! Everybody may read it, so it contains only what the summary may contain. The run's ID, which its processes have in their environment, is
//! not in it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::history::record::Run;
use crate::scripts::model::script::ScriptKind;
use crate::util::time::Moment;
use crate::util::{files, printable};

/// The limit for the file, in bytes. It is higher than what the file can have.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// A script that runs now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningScript {
    /// The user data key.
    pub key: String,
    /// The kind of the script.
    pub kind: ScriptKind,
    /// The number of the attempt.
    pub attempt: u32,
    /// When the run started.
    pub started: Moment,
    /// The process ID of the runner.
    pub runner: i32,
}

impl RunningScript {
    /// A run that this process starts.
    pub(crate) fn of(key: &UserDataKey, kind: ScriptKind, run: &Run) -> Self {
        let (key, runner) = (key.as_str().to_owned(), Pid::this().as_raw());
        Self { key, kind, attempt: run.attempt, started: run.started, runner }
    }

    /// Whether this is the given run.
    pub fn is_run(&self, run: &Run) -> bool {
        run.outcome.is_none() && self.attempt == run.attempt && self.started == run.started
    }

    /// The path of the file with the output so far.
    pub fn output_path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}-{}", self.started, self.attempt))
    }

    /// Writes the file. It is removed when the returned value is dropped.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> io::Result<RunningFile> {
        path.parent().map_or(Ok(()), files::create_public_folder)?;
        let text = serde_json::to_vec(self)?;
        let lock = files::write_locked(path, &text, 0o644)?;
        Ok(RunningFile { path: path.to_owned(), text, _lock: lock })
    }

    /// Reads the file. `None` if no script runs, or if its runner was killed.
    ///
    /// # Errors
    /// When the file exists and cannot be read.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let Some(bytes) = files::read_bounded(path, MAX_FILE_BYTES)? else { return Ok(None) };
        let running: Self =
            serde_json::from_slice(&bytes).map_err(|why| io::Error::other(printable::json_fault(&why)))?;
        // The runner has locked the file. Its process ID may be another process's by now. If the file is a new one by now, so is its lock.
        let is_alive = match File::open(path) {
            Ok(file) => files::is_locked_for_writing(&file)?,
            Err(why) if why.kind() == io::ErrorKind::NotFound => false,
            Err(why) => return Err(why),
        };
        Ok(is_alive.then_some(running))
    }
}

/// The file of a script that runs, and its content. Dropping this removes the file.
pub(crate) struct RunningFile {
    path: PathBuf,
    text: Vec<u8>,
    _lock: File,
}

impl Drop for RunningFile {
    fn drop(&mut self) {
        // Only if the content is the same: the runner of the shutdown scripts may have written its own file.
        if files::read_bounded(&self.path, MAX_FILE_BYTES).ok().flatten().as_ref() == Some(&self.text) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

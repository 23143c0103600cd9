//! Which script runs now, for `status` and `setup show` (invariant S2). Everybody may read it, so it says what the summary says of a script,
//! and not which word its processes carry.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::history::record::Run;
use crate::scripts::model::script::ScriptKind;
use crate::util::files;
use crate::util::printable;
use crate::util::time::Moment;

/// Over what the file holds.
const LARGEST: u64 = 64 * 1024;

/// A script that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningScript {
    /// The user data key.
    pub key: String,
    /// When it runs.
    pub kind: ScriptKind,
    /// The run's number.
    pub attempt: u32,
    /// Its beginning.
    pub started: Moment,
    /// The runner's process id.
    pub runner: i32,
}

impl RunningScript {
    /// Tells of a run that begins, by this process.
    pub(crate) fn of(key: &UserDataKey, kind: ScriptKind, run: &Run) -> Self {
        let (key, runner) = (key.as_str().to_owned(), Pid::this().as_raw());
        Self { key, kind, attempt: run.attempt, started: run.started, runner }
    }

    /// Whether it is this run.
    pub fn is(&self, run: &Run) -> bool {
        run.outcome.is_none() && self.attempt == run.attempt && self.started == run.started
    }

    /// The file with its output so far.
    pub fn output(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}-{}", self.started, self.attempt))
    }

    /// Writes the file, which goes with what is returned.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn announce(&self, path: &Path) -> io::Result<Announced> {
        path.parent().map_or(Ok(()), files::public_folder)?;
        let text = serde_json::to_vec(self)?;
        files::write_whole(path, &text, 0o644)?;
        Ok(Announced(path.to_owned(), text))
    }

    /// Reads the file; `None` where no script runs, or its runner was killed.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let Some(bytes) = files::read_bounded(path, LARGEST)? else { return Ok(None) };
        let running: Self =
            serde_json::from_slice(&bytes).map_err(|why| io::Error::other(printable::json_fault(&why)))?;
        // A process of root's, so for others the answer is "not permitted".
        let is_there = running.runner > 0 && kill(Pid::from_raw(running.runner), None) != Err(Errno::ESRCH);
        Ok(is_there.then_some(running))
    }
}

/// The file of a script that runs.
pub(crate) struct Announced(PathBuf, Vec<u8>);

impl Drop for Announced {
    fn drop(&mut self) {
        // Another runner, of the shutdown scripts, may have written its own.
        if files::read_bounded(&self.0, LARGEST).ok().flatten().as_ref() == Some(&self.1) {
            let _ = fs::remove_file(&self.0);
        }
    }
}

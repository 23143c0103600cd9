//! The end of the management: keys that root may have only here are added to root's own file before sshd stops reading ours (invariant K3).
//!
//! It is done before the package is removed, and when the configuration switches the management off. If a step fails, sshd goes on reading
//! the managed keys.

use std::fs;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::account_keys::apply::{self, Files, NotApplied};
use crate::account_keys::authorized_keys::{append, missing_in, read};
use crate::account_keys::decide;
use crate::account_keys::install::is_only_roots;
use crate::account_keys::managed_keys::ManagedKeys;
use crate::account_keys::sshd_drop_in::{self, NotInForce};
use crate::identity::record;
use crate::util::time::Moment;

/// Why sshd still reads the managed keys.
#[derive(Debug, Error)]
pub(crate) enum NotWithdrawn {
    /// The managed keys cannot be read.
    #[error(transparent)]
    Keys(#[from] NotApplied),
    /// The keys cannot be added to root's file.
    #[error("the keys cannot be added to {}: {}; so sshd goes on reading the file of the agent", .0.display(), .1)]
    File(PathBuf, #[source] io::Error),
    /// sshd would not read root's file.
    #[error("sshd does not read {}, because others could change it; so it goes on reading the file of the agent", .0.display())]
    Refused(PathBuf),
    /// sshd reads no other file of root.
    #[error("sshd reads no other file with keys of root, so it goes on reading that of the agent")]
    NoFile,
    /// The drop-in of sshd's configuration cannot be removed.
    #[error(transparent)]
    DropIn(#[from] NotInForce),
}

/// What was done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Withdrawn {
    /// The file that has the keys now; `None` if there were none that sshd read.
    pub(crate) file: Option<PathBuf>,
    /// How many were added to it.
    pub(crate) added: usize,
}

/// Ends the management; `None` if there was none.
///
/// # Errors
/// See [`NotWithdrawn`].
pub(crate) fn withdraw(files: &Files<'_>) -> Result<Option<Withdrawn>, NotWithdrawn> {
    if !files.keys.drop_in.exists() && !files.keys.file.exists() {
        return Ok(None);
    }
    let _lock = apply::lock(files.keys)?;
    let keys = of_this_instance(files)?;
    let [with, without] = sshd_drop_in::printed_with_and_without(files.sshd)?;
    // Keys that sshd does not read are no way in, and become none.
    let is_read = with.has_managed_keys(files.keys);
    let lines = keys.keys.iter().map(|key| &key.line);
    let mut added = 0;
    let mut file = None;
    if is_read && !keys.keys.is_empty() {
        let own = sshd_drop_in::files_of_root(&without, files.keys, files.root.home()).into_iter().next();
        let own = own.ok_or(NotWithdrawn::NoFile)?;
        let failed = |why| NotWithdrawn::File(own.clone(), why);
        let missing = missing_in(&read(&own).map_err(failed)?, lines);
        if !missing.is_empty() {
            let lines: String = missing.iter().map(|line| line.text() + "\n").collect();
            append(&own, &format!("# Keys that scw-agent managed until {}:\n{lines}", Moment::now()))
                .map_err(failed)?;
        }
        if !is_only_roots(&own) {
            return Err(NotWithdrawn::Refused(own));
        }
        (added, file) = (missing.len(), Some(own));
    }
    sshd_drop_in::take_back(files.keys, files.sshd)?;
    if without.has_managed_keys(files.keys) {
        // An administrator's own line has it.
        return Ok(Some(Withdrawn { file, added }));
    }
    let _ = fs::remove_file(&files.keys.file);
    if let Some(folder) = files.keys.file.parent() {
        let _ = fs::remove_dir(folder);
    }
    let _ = fs::remove_file(&files.keys.report);
    Ok(Some(Withdrawn { file, added }))
}

/// The managed keys without those of another Instance, whose disk was copied. They must not become keys of a person.
fn of_this_instance(files: &Files<'_>) -> Result<ManagedKeys, NotWithdrawn> {
    let keys = ManagedKeys::parse(&apply::read(&files.keys.file)?);
    let Some(instance) = keys.instance.clone() else { return Ok(keys) };
    match record::read(&files.sshd.record).ok().flatten() {
        Some(recorded) => Ok(decide::of_instance(keys, &recorded.instance)),
        None => Err(NotApplied::NotConfirmed(instance).into()),
    }
}

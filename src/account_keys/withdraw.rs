//! The end of the management: keys that root may have only here are moved to a block of root's own file before sshd stops reading ours
//! (invariant K3).
//!
//! It is done before the package is removed, and when the configuration switches the management off. If a step fails, sshd goes on reading
//! the managed keys.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use thiserror::Error;

use crate::account_keys::authorized_keys::missing_in;
use crate::account_keys::decide;
use crate::account_keys::key_line::KeyLine;
use crate::account_keys::managed_keys::ManagedKeys;
use crate::account_keys::placement::{Block, remove_own_file};
use crate::account_keys::sshd_drop_in::{self, NotInForce, Printed};
use crate::account_keys::store::{self, Files, NotApplied};
use crate::identity::record;

/// Why sshd still reads the managed keys.
#[derive(Debug, Error)]
pub(crate) enum NotWithdrawn {
    /// The managed keys cannot be read.
    #[error(transparent)]
    Keys(#[from] NotApplied),
    /// The keys cannot be added to root's file.
    #[error("the keys cannot be moved to root's own file, so sshd goes on reading that of the agent: {0}")]
    File(#[source] NotApplied),
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
        // Keys in a block of root's own file stay there.
        let _ = fs::remove_file(&files.keys.report);
        return Ok(None);
    }
    let _lock = store::lock(files.keys)?;
    let keys = of_this_instance(files)?;
    // Without sshd, the keys may be needed when it is installed again.
    let printed = sshd_drop_in::printed_with_and_without(files.sshd);
    let [with, without] = match printed {
        Err(NotInForce::NoSshd) => [Printed::default(), Printed::default()],
        printed => printed?,
    };
    // Keys that sshd does not read are no way in, and become none.
    let is_read = with == Printed::default() || with.has_managed_keys(files.keys);
    let done = if is_read && !keys.keys.is_empty() {
        move_to_block(files, &without, keys)?
    } else {
        Withdrawn { file: None, added: 0 }
    };
    sshd_drop_in::take_back(files.keys, files.sshd)?;
    // Otherwise an administrator's own line has it.
    if !without.has_managed_keys(files.keys) {
        remove_own_file(files);
        let _ = fs::remove_file(&files.keys.report);
    }
    Ok(Some(done))
}

/// Writes the keys that root has only here into a block of root's own file.
fn move_to_block(
    files: &Files<'_>,
    without: &Printed,
    mut keys: ManagedKeys,
) -> Result<Withdrawn, NotWithdrawn> {
    let is_without_sshd = *without == Printed::default();
    let has_file = !sshd_drop_in::files_of_root(without, files.keys, files.root.home()).is_empty();
    if !is_without_sshd && !has_file {
        return Err(NotWithdrawn::NoFile);
    }
    let mut block = Block::read(files, without).map_err(NotWithdrawn::File)?;
    let outside = block.outside();
    let missing = missing_in(&outside, keys.keys.iter().map(|key| &key.line));
    let missing: BTreeSet<_> = missing.into_iter().map(KeyLine::identity).collect();
    keys.keys.retain(|key| missing.contains(&key.line.identity()));
    let added = keys.keys.len();
    if added > 0 || block.keys().is_some() {
        let all = block.keys().cloned().unwrap_or_default().join(keys);
        block.put(Some(&all)).map_err(NotWithdrawn::File)?;
    }
    if !is_without_sshd && !block.is_only_roots() {
        return Err(NotWithdrawn::Refused(block.path().to_owned()));
    }
    Ok(Withdrawn { file: Some(block.path().to_owned()), added })
}

/// The managed keys without those of another Instance, whose disk was copied. They must not become keys of a person.
fn of_this_instance(files: &Files<'_>) -> Result<ManagedKeys, NotWithdrawn> {
    let keys = ManagedKeys::parse(&store::read(&files.keys.file)?);
    let Some(instance) = keys.instance.clone() else { return Ok(keys) };
    match record::read(&files.sshd.record).ok().flatten() {
        Some(recorded) => Ok(decide::of_instance(keys, &recorded.instance)),
        None => Err(NotApplied::NotConfirmed(instance).into()),
    }
}

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
use crate::account_keys::own_block::{Block, Blocks};
use crate::account_keys::placement::remove_own_file;
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
    /// The keys of another Instance are a way in, and must not become keys of this one.
    #[error(
        "the keys are those of another Instance, whose disk this is a copy of; so sshd goes on reading the file of the agent. Run `scw-agent ssh-keys apply` when this Instance has a key of its own"
    )]
    OfAnother,
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
    let printed = match sshd_drop_in::printed_for_root(files.sshd) {
        Err(NotInForce::NoSshd) => None,
        printed => Some(printed?),
    };
    // Keys that sshd does not read are no way in, and become none.
    let is_read = printed.as_ref().is_none_or(|printed| printed.has_managed_keys(files.keys));
    let done = if is_read && !keys.is_empty() {
        move_to_block(files, printed.as_ref(), keys)?
    } else {
        Withdrawn { file: None, added: 0 }
    };
    let is_enough = |printed: &Printed| {
        let of_root = sshd_drop_in::files_of_root(printed, files.keys, files.root.home());
        done.file.as_ref().is_none_or(|file| of_root.contains(file))
    };
    sshd_drop_in::take_back(files.keys, files.sshd, is_enough)?;
    // Also where an administrator's own line names it: all keys are in root's own file now.
    remove_own_file(files);
    let _ = fs::remove_file(&files.keys.report);
    Ok(Some(done))
}

/// Writes the keys that root has only here into a block of root's own file.
fn move_to_block(
    files: &Files<'_>,
    printed: Option<&Printed>,
    mut keys: ManagedKeys,
) -> Result<Withdrawn, NotWithdrawn> {
    let of_root = |printed| sshd_drop_in::files_of_root(printed, files.keys, files.root.home());
    if printed.is_some_and(|printed| of_root(printed).is_empty()) {
        return Err(NotWithdrawn::NoFile);
    }
    let blocks = Blocks::read(files, &printed.cloned().unwrap_or_default());
    let mut block = blocks.used.map_err(NotWithdrawn::File)?;
    let outside = block.outside();
    let missing = missing_in(&outside, keys.keys.iter().map(|key| &key.line));
    let missing: BTreeSet<_> = missing.into_iter().map(KeyLine::identity).collect();
    keys.keys.retain(|key| missing.contains(&key.line.identity()));
    keys.others.retain(|line| !outside.lines().any(|present| present == line));
    let added = keys.keys.len();
    if !keys.is_empty() || block.keys().is_some() {
        let there = block.keys().cloned().unwrap_or_default();
        let there = match &keys.instance {
            Some(instance) => decide::of_instance(there, instance),
            None => there,
        };
        block.put(Some(&there.join(keys))).map_err(NotWithdrawn::File)?;
    }
    // A new file may be in a folder that sshd refuses.
    Block::read(block.path(), files.root.home()).map_err(NotWithdrawn::File)?;
    Ok(Withdrawn { file: Some(block.path().to_owned()), added })
}

/// The managed keys. Those of another Instance, whose disk was copied, must not stay for good, and may be the only way in.
fn of_this_instance(files: &Files<'_>) -> Result<ManagedKeys, NotWithdrawn> {
    let keys = ManagedKeys::parse(&store::read(&files.keys.file)?);
    let Some(instance) = keys.instance.clone() else { return Ok(keys) };
    match record::read(&files.sshd.record).ok().flatten() {
        Some(recorded) if keys.has_keys_of_another(&recorded.instance) => Err(NotWithdrawn::OfAnother),
        Some(_) => Ok(keys),
        None => Err(NotApplied::NotConfirmed(instance).into()),
    }
}

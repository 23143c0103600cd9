//! The agent's own file of managed keys, and the lock of everything that changes keys (invariant D1).

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::account_keys::block::EditedBlock;
use crate::account_keys::managed_keys::ManagedKeys;
use crate::account_keys::paths::AccountKeyPaths;
use crate::account_keys::root_files::RootFiles;
use crate::account_keys::sshd_drop_in::NotInForce;
use crate::host_keys::paths::HostKeyPaths;
use crate::metadata::api::instance::InstanceId;
use crate::util::files;
use crate::util::labels::restore_labels;

/// How long a run waits for another one, which itself may wait for its second answer and for the service.
const LOCK_TIMEOUT: Duration = Duration::from_secs(90);
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Why a run ended early. No key was removed.
#[derive(Debug, Error)]
pub(crate) enum NotApplied {
    /// The service gave no complete answer. A later run may get one.
    #[error("{0}; no key is removed")]
    NoAnswer(String),
    /// The host-keys units have not confirmed that the answer belongs to this machine.
    #[error("it is not confirmed yet that this is the Instance {0}; no key is changed")]
    NotConfirmed(InstanceId),
    /// A file cannot be used.
    #[error("{}: {}; no key is removed", .0.display(), .1)]
    File(PathBuf, #[source] io::Error),
    /// The block in root's own file is not the agent's any more.
    #[error("{}: {}; no key is removed", .0.display(), .1)]
    Block(PathBuf, #[source] EditedBlock),
    /// sshd would not read it, so its content is nobody's word.
    #[error("{}: others than root could change it or a folder above it; no key is changed", .0.display())]
    Refused(PathBuf),
    /// sshd does not say which file is root's own.
    #[error(transparent)]
    Sshd(#[from] NotInForce),
}

/// The files that a run uses.
pub(crate) struct Files<'a> {
    pub(crate) keys: &'a AccountKeyPaths,
    pub(crate) sshd: &'a HostKeyPaths,
    pub(crate) root: &'a RootFiles,
}

/// The lock of a run.
pub(super) fn lock(paths: &AccountKeyPaths) -> Result<files::Lock, NotApplied> {
    let made = paths.lock.parent().map_or(Ok(()), files::create_private_subfolder);
    made.and_then(|()| files::lock_within(&paths.lock, LOCK_TIMEOUT))
        .map_err(|why| NotApplied::File(paths.lock.clone(), why))
}

/// The text of the file of the managed keys; empty if there is none.
pub(super) fn read(path: &Path) -> Result<String, NotApplied> {
    let text = files::read_bounded(path, MAX_BYTES);
    let text = text.map_err(|why| NotApplied::File(path.to_owned(), why))?;
    Ok(String::from_utf8_lossy(&text.unwrap_or_default()).into_owned())
}

/// Writes the file, if its text changes.
pub(super) fn write(path: &Path, keys: &ManagedKeys) -> Result<(), NotApplied> {
    let text = keys.text();
    if read(path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    if text.len() as u64 > MAX_BYTES {
        return Err(NotApplied::File(path.to_owned(), io::ErrorKind::FileTooLarge.into()));
    }
    let folder = path.parent().map_or(Ok(()), files::create_public_folder);
    folder
        .and_then(|()| files::write_atomic(path, text.as_bytes(), 0o600))
        .map_err(|why| NotApplied::File(path.to_owned(), why))?;
    restore_labels(path);
    Ok(())
}

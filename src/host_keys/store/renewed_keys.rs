//! The keys that an incomplete renewal has made already. The next attempt makes only the others. Otherwise the machine would get new
//! keys at each boot until the cause is gone.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::metadata::api::instance::InstanceId;
use crate::util::files;

const MAX_BYTES: u64 = 64 * 1024;

#[derive(Serialize, Deserialize)]
struct RenewedKeysFile {
    instance: InstanceId,
    /// Fingerprints.
    keys: BTreeSet<String>,
}

/// The fingerprints of the keys that were made for this Instance. Empty if the file is missing or cannot be read.
pub(crate) fn read(path: &Path, instance: &InstanceId) -> BTreeSet<String> {
    let bytes = files::read_bounded(path, MAX_BYTES).ok().flatten().unwrap_or_default();
    let record: Option<RenewedKeysFile> = serde_json::from_slice(&bytes).ok();
    record.filter(|record| record.instance == *instance).map(|record| record.keys).unwrap_or_default()
}

/// Saves the fingerprints.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write(path: &Path, instance: &InstanceId, keys: &BTreeSet<String>) -> io::Result<()> {
    path.parent().map_or(Ok(()), files::create_private_folder)?;
    let record = RenewedKeysFile { instance: instance.clone(), keys: keys.clone() };
    files::write_atomic(path, &serde_json::to_vec(&record)?, 0o600)
}

/// Removes the file, after all keys are replaced.
///
/// # Errors
/// When the file exists and cannot be removed.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}

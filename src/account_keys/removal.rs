//! Removes one key at a person's request. It is the only way to remove the last one (invariant K3).

use crate::account_keys::manage::WriteTo;
use crate::account_keys::placement::Placement;
use crate::account_keys::report::KeysReport;
use crate::account_keys::store::{self, Files, NotApplied};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// The key is removed. If the owner still lists it, the next run adds it again.
    Removed,
    /// There is no such key.
    NotThere,
}

/// Removes the key with this fingerprint.
///
/// # Errors
/// If a file cannot be read or written.
pub(crate) fn remove(files: &Files<'_>, write_to: WriteTo, fingerprint: &str) -> Result<Removal, NotApplied> {
    let _lock = store::lock(files.keys)?;
    if !Placement::open(files, write_to)?.remove_key(fingerprint)? {
        return Ok(Removal::NotThere);
    }
    if let Some(mut report) = KeysReport::read(&files.keys.report) {
        report.keys.retain(|key| key.fingerprint != fingerprint);
        // The next run writes it anew.
        let _ = report.write(&files.keys.report);
    }
    Ok(Removal::Removed)
}

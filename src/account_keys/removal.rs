//! Removes one key at a person's request. It is the only way to remove the last one (invariant K3).

use crate::account_keys::apply::{self, NotApplied};
use crate::account_keys::managed_keys::ManagedKeys;
use crate::account_keys::paths::AccountKeyPaths;
use crate::account_keys::report::KeysReport;

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
/// If the file cannot be read or written.
pub(crate) fn remove(paths: &AccountKeyPaths, fingerprint: &str) -> Result<Removal, NotApplied> {
    let _lock = apply::lock(paths)?;
    let mut keys = ManagedKeys::parse(&apply::read(&paths.file)?);
    let before = keys.keys.len();
    keys.keys.retain(|key| key.line.key().fingerprint() != fingerprint);
    if keys.keys.len() == before {
        return Ok(Removal::NotThere);
    }
    keys.removed.push(fingerprint.to_owned());
    apply::write(&paths.file, &keys)?;
    if let Some(mut report) = KeysReport::read(&paths.report) {
        report.keys.retain(|key| key.fingerprint != fingerprint);
        // The next run writes it anew.
        let _ = report.write(&paths.report);
    }
    Ok(Removal::Removed)
}

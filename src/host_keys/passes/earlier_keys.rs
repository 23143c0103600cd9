//! The keys that were on the disk before this boot.
//!
//! `ensure` saves their fingerprints for `settle`. A key that was made in this boot cannot be another Instance's, whoever made it.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use crate::host_keys::paths::HostKeyPaths;
use crate::host_keys::store::key_file::{KeyFile, PrivateFile};
use crate::host_keys::store::served::write_for_boot;
use crate::util::files;

/// No list of fingerprints comes near this size; a larger file is ignored.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// Saves the fingerprints of all keys that are not in `new_files`. Only the first call in a boot writes the file.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn save(paths: &HostKeyPaths, keys: &[KeyFile], new_files: &BTreeSet<PathBuf>) -> io::Result<()> {
    if paths.earlier_keys.exists() {
        return Ok(());
    }
    let old = keys.iter().filter(|key| !new_files.contains(&key.path));
    let fingerprints: BTreeSet<_> = old.filter_map(fingerprint_in_use).collect();
    write_for_boot(&paths.earlier_keys, &serde_json::to_vec(&fingerprints)?)
}

/// Whether one of the keys was on the disk before this boot. The answer is also "yes" if that is not known.
pub(super) fn has_earlier_keys(paths: &HostKeyPaths, keys: &[KeyFile]) -> bool {
    let bytes = files::read_bounded(&paths.earlier_keys, MAX_FILE_BYTES).ok().flatten().unwrap_or_default();
    let Ok(earlier) = serde_json::from_slice::<BTreeSet<String>>(&bytes) else { return true };
    let is_unknown = |key: &KeyFile| match &key.private {
        PrivateFile::NotVisible(_) => true,
        // InvalidInput: it is not a regular file, so it is no key.
        PrivateFile::Unreadable(why) => why.kind() != io::ErrorKind::InvalidInput,
        _ => false,
    };
    keys.iter()
        .any(|key| is_unknown(key) || fingerprint_in_use(key).is_some_and(|key| earlier.contains(&key)))
}

/// The fingerprint of the key that sshd may serve from this file or through its agent.
pub(super) fn fingerprint_in_use(key: &KeyFile) -> Option<String> {
    key.loaded().or_else(|| key.key_in_agent()).map(|key| key.fingerprint())
}

//! Removes the managed keys from a disk that becomes an image of other Instances. What persons wrote stays (invariant K1).

use std::path::PathBuf;

use crate::account_keys::managed_keys::ManagedKeys;
use crate::account_keys::own_block::Blocks;
use crate::account_keys::placement::remove_own_file;
use crate::account_keys::sshd_drop_in::{self, NotInForce};
use crate::account_keys::store::{self, Files, NotApplied};

/// Removes the keys, or only looks for them. Returns the files that had some.
///
/// # Errors
/// See [`NotApplied`]. Then there may still be keys.
pub(crate) fn forget(files: &Files<'_>, dry_run: bool) -> Result<Vec<PathBuf>, NotApplied> {
    let has_own_file = files.keys.file.exists();
    let has_drop_in = files.keys.drop_in.exists();
    let _lock = if dry_run { None } else { Some(store::lock(files.keys)?) };
    let printed = match sshd_drop_in::printed_for_root(files.sshd) {
        Err(why) if !matches!(why, NotInForce::NoSshd) && (has_own_file || has_drop_in) => {
            return Err(why.into());
        }
        printed => printed.unwrap_or_default(),
    };
    let mut changed = Vec::new();
    let blocks = Blocks::read(files, &printed);
    for mut block in blocks.used.into_iter().chain(blocks.strays) {
        let Some(keys) = block.keys().cloned() else { continue };
        changed.push(block.path().to_owned());
        if !dry_run {
            let rest = keys.of_persons();
            block.put((!rest.is_empty()).then_some(&rest))?;
        }
    }
    if has_own_file || has_drop_in {
        let rest = ManagedKeys::parse(&store::read(&files.keys.file)?).of_persons();
        changed.extend(has_own_file.then(|| files.keys.file.clone()));
        if !rest.is_empty() {
            if !dry_run {
                store::write(&files.keys.file, &rest)?;
            }
            return Ok(changed);
        }
        changed.extend(has_drop_in.then(|| files.keys.drop_in.clone()));
        if !dry_run {
            sshd_drop_in::take_back(files.keys, files.sshd, |_| true)?;
            remove_own_file(files);
        }
    }
    Ok(changed)
}

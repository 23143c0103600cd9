//! Sets root's own file aside at a person's request, if Scaleway's former package wrote it: then only the managed keys let root in.
//!
//! That package wrote the file anew at each boot, and the file says so; keys that the owner has removed since then are still in it. Nothing
//! is done unless sshd reads a managed key that it accepts (invariant K3), and the file stays beside its place (invariant K1).

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::account_keys::authorized_keys::{is_of_former_package, lines_with};
use crate::account_keys::manage::WriteTo;
use crate::account_keys::own_block::Block;
use crate::account_keys::placement::Placement;
use crate::account_keys::store::{self, Files, NotApplied};
use crate::util::files;
use crate::util::time::Moment;

/// Why the file stays.
#[derive(Debug, Error)]
pub(crate) enum NotAdopted {
    /// The keys or the file cannot be read or written.
    #[error(transparent)]
    Keys(#[from] NotApplied),
    /// A person or another program wrote it.
    #[error("{} was not written by Scaleway's former package, so it is not changed", .0.display())]
    NotFormer(PathBuf),
    /// Root could be locked out.
    #[error(
        "sshd reads no managed key that it accepts, so root could be locked out; see `scw-agent ssh-keys show`"
    )]
    NoWayIn,
    /// The file cannot be set aside.
    #[error("{}: {}", .0.display(), .1)]
    File(PathBuf, #[source] io::Error),
}

/// What was done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Adopted {
    /// Where the file was.
    pub(crate) path: PathBuf,
    /// Where it is now.
    pub(crate) copy: PathBuf,
    /// The fingerprints of its keys that are not managed.
    pub(crate) dropped: Vec<String>,
}

/// Sets the file aside.
///
/// # Errors
/// See [`NotAdopted`].
pub(crate) fn adopt(files: &Files<'_>, write_to: WriteTo) -> Result<Adopted, NotAdopted> {
    let _lock = store::lock(files.keys)?;
    let mut placement = Placement::open(files, write_to)?;
    let managed = placement.keys_in_place();
    let accepted = placement.accepted();
    let has_a_way_in = managed.keys.iter().any(|key| accepted.is_a_way_in(&key.line));
    let is_in_force = has_a_way_in && placement.put_in_force().is_ok();
    let block = placement.into_block()?;
    let path = block.path().to_owned();
    let outside = block.outside();
    if !is_of_former_package(&outside) {
        return Err(NotAdopted::NotFormer(path));
    }
    if !is_in_force {
        return Err(NotAdopted::NoWayIn);
    }
    let copy = set_aside(block).map_err(|why| NotAdopted::File(path.clone(), why))?;
    let managed = managed.fingerprints();
    let mut dropped: Vec<_> =
        lines_with(&outside, |key| !managed.contains(key)).into_iter().map(|(_, key)| key).collect();
    dropped.dedup();
    Ok(Adopted { path, copy, dropped })
}

/// Moves all but the block.
fn set_aside(block: Block) -> io::Result<PathBuf> {
    let copy = block.path().with_extension(format!("before-{}", Moment::now()));
    let block_alone = block.alone();
    let mut file = block.into_file();
    if let Some(text) = block_alone {
        files::write_atomic(&copy, &file.bytes, 0o600)?;
        file.replace(text)?;
    } else {
        file.rename(&copy)?;
    }
    Ok(copy)
}

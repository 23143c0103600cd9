//! Where sshd finds the managed keys: in the agent's own file, or in a marked block of root's own file (`[ssh-keys] write-to`).
//!
//! The keys are written to the new place, and sshd reads them there, before they leave the other one (invariant K3). Nothing is decided
//! here. Outside of the block, no byte of root's own file changes (invariant K1).

use std::fs;
use std::path::{Path, PathBuf};

use crate::account_keys::accepted::AcceptedKeys;
use crate::account_keys::block::TextWithBlock;
use crate::account_keys::manage::WriteTo;
use crate::account_keys::managed_keys::ManagedKeys;
use crate::account_keys::own_file::OwnFile;
use crate::account_keys::root_files::is_only_roots;
use crate::account_keys::sshd_drop_in::{self, NotInForce, Printed};
use crate::account_keys::store::{Files, NotApplied, read, write};

/// Where the keys are, and where they belong.
pub(super) struct Placement<'a> {
    files: &'a Files<'a>,
    write_to: WriteTo,
    /// The managed keys of the agent's own file.
    own_keys: ManagedKeys,
    block: Option<Block>,
    /// sshd's configuration for root, with and without the drop-in; empty if sshd does not print it.
    printed: [Printed; 2],
    /// Whether sshd reads the keys; `None` if that is still to be done.
    in_force: Option<Result<(), NotInForce>>,
}

/// Root's own file, and the block in it.
pub(super) struct Block {
    file: OwnFile,
    text: TextWithBlock,
}

impl Block {
    /// Reads root's own file by what sshd would read without the agent.
    pub(super) fn read(files: &Files<'_>, without: &Printed) -> Result<Self, NotApplied> {
        let path = own_path(files, without);
        let file = OwnFile::read(&path).map_err(|why| NotApplied::File(path.clone(), why))?;
        let text = TextWithBlock::parse(&file.bytes).map_err(|why| NotApplied::Block(path, why))?;
        Ok(Self { file, text })
    }

    /// The managed keys in it.
    pub(super) fn keys(&self) -> Option<&ManagedKeys> {
        self.text.keys.as_ref()
    }

    /// The lines of persons.
    pub(super) fn outside(&self) -> String {
        self.text.outside()
    }

    /// Root's own file.
    pub(super) fn path(&self) -> &Path {
        &self.file.path
    }

    /// Writes the keys; removes the block if there are none.
    pub(super) fn put(&mut self, keys: Option<&ManagedKeys>) -> Result<(), NotApplied> {
        let written = self.file.replace(self.text.with(keys));
        written.map_err(|why| NotApplied::File(self.path().to_owned(), why))?;
        self.text.keys = keys.cloned();
        Ok(())
    }

    /// Whether sshd may read the file: it refuses one that others could change.
    pub(super) fn is_only_roots(&self) -> bool {
        self.path().canonicalize().is_ok_and(|path| is_only_roots(&path))
    }

    /// The text with nothing but the block; `None` if there is none.
    pub(super) fn alone(&self) -> Option<Vec<u8>> {
        let empty = TextWithBlock::parse(b"").ok()?;
        self.keys().map(|keys| empty.with(Some(keys)))
    }

    /// The file as it was read.
    pub(super) fn into_file(self) -> OwnFile {
        self.file
    }
}

/// The first file of root alone that sshd reads; the usual one if sshd does not say which.
fn own_path(files: &Files<'_>, without: &Printed) -> PathBuf {
    let of_root = sshd_drop_in::files_of_root(without, files.keys, files.root.home());
    of_root.into_iter().next().unwrap_or_else(|| files.root.home().join(".ssh/authorized_keys"))
}

impl<'a> Placement<'a> {
    /// Reads where the keys are. A drop-in that is there is brought up to date: what an administrator changed must apply, whatever the
    /// service says.
    pub(super) fn open(files: &'a Files<'a>, write_to: WriteTo) -> Result<Self, NotApplied> {
        let is_refreshed = write_to == WriteTo::OwnFile && files.keys.drop_in.exists();
        let refreshed = is_refreshed.then(|| sshd_drop_in::put_in_force(files.keys, files.sshd));
        let (printed, in_force) = match refreshed {
            Some(Ok(printed)) => (printed, Some(Ok(()))),
            other => {
                let printed = match sshd_drop_in::printed_with_and_without(files.sshd) {
                    // Other SSH servers read the usual file.
                    Err(NotInForce::NoSshd) => Default::default(),
                    // Which file is root's own is not known.
                    Err(why) if write_to == WriteTo::AuthorizedKeys => return Err(why.into()),
                    printed => printed.unwrap_or_default(),
                };
                (printed, other.map(|refreshed| refreshed.map(drop)))
            }
        };
        let block = match Block::read(files, &printed[1]) {
            // A file of persons that the agent has no business in.
            Err(_) if write_to == WriteTo::OwnFile => None,
            block => Some(block?),
        };
        let own_keys = ManagedKeys::parse(&read(&files.keys.file)?);
        Ok(Self { files, write_to, own_keys, block, printed, in_force })
    }

    /// Reads root's own file anew.
    pub(super) fn read_block(&self) -> Result<Block, NotApplied> {
        Block::read(self.files, &self.printed[1])
    }

    /// The managed keys where they belong.
    pub(super) fn keys_in_place(&self) -> ManagedKeys {
        let [own_keys, block] = self.keys();
        if self.write_to == WriteTo::OwnFile { own_keys } else { block }
    }

    /// The managed keys in both places.
    pub(super) fn keys(&self) -> [ManagedKeys; 2] {
        let block = self.block.as_ref().and_then(|block| block.keys().cloned());
        [self.own_keys.clone(), block.unwrap_or_default()]
    }

    /// Whether there is neither the agent's file nor a block.
    pub(super) fn is_nowhere(&self) -> bool {
        !self.files.keys.file.exists() && self.block.as_ref().is_none_or(|block| block.keys().is_none())
    }

    /// Which keys sshd accepts.
    pub(super) fn accepted(&self) -> AcceptedKeys {
        AcceptedKeys::of_printed(&self.printed[0].0)
    }

    /// The files of root alone that sshd reads, apart from the agent's.
    pub(super) fn files_of_persons(&self) -> Vec<PathBuf> {
        sshd_drop_in::files_of_root(&self.printed[0], self.files.keys, self.files.root.home())
    }

    /// Writes the keys to where they belong.
    pub(super) fn put(&mut self, keys: &ManagedKeys) -> Result<(), NotApplied> {
        match (self.write_to, &mut self.block) {
            (WriteTo::AuthorizedKeys, Some(block)) => block.put(Some(keys)),
            _ => write(&self.files.keys.file, keys),
        }
    }

    /// Has sshd read what was written.
    pub(super) fn put_in_force(&mut self) -> Result<(), NotInForce> {
        if let Some(in_force) = self.in_force.take() {
            return in_force;
        }
        if let (WriteTo::AuthorizedKeys, Some(block)) = (self.write_to, &self.block) {
            let is_without_sshd = self.printed == <[Printed; 2]>::default();
            let is_read = is_without_sshd || self.files_of_persons().iter().any(|file| file == block.path());
            let is_read = is_read && block.is_only_roots();
            return if is_read { Ok(()) } else { Err(NotInForce::OwnFileNotRead(block.path().to_owned())) };
        }
        self.printed = sshd_drop_in::put_in_force(self.files.keys, self.files.sshd)?;
        Ok(())
    }

    /// Removes a key from both places. Returns whether it was there.
    pub(super) fn remove_key(&mut self, fingerprint: &str) -> Result<bool, NotApplied> {
        let is_in_file = self.own_keys.remove(fingerprint);
        if is_in_file {
            write(&self.files.keys.file, &self.own_keys)?;
        }
        let Some(block) = &mut self.block else { return Ok(is_in_file) };
        let mut keys = block.keys().cloned().unwrap_or_default();
        let is_in_block = keys.remove(fingerprint);
        if is_in_block {
            block.put(Some(&keys))?;
        }
        Ok(is_in_file || is_in_block)
    }

    /// Removes the keys from where they do not belong. sshd must read them where they do.
    pub(super) fn leave_other_place(&mut self) -> Result<(), String> {
        match (self.write_to, &mut self.block) {
            (WriteTo::OwnFile, Some(block)) if block.keys().is_some() => {
                block.put(None).map_err(|why| why.to_string())
            }
            (WriteTo::AuthorizedKeys, _) => {
                sshd_drop_in::take_back(self.files.keys, self.files.sshd).map_err(|why| why.to_string())?;
                remove_own_file(self.files);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Removes the agent's own file, and its folder if that is empty.
pub(super) fn remove_own_file(files: &Files<'_>) {
    let _ = fs::remove_file(&files.keys.file);
    if let Some(folder) = files.keys.file.parent() {
        let _ = fs::remove_dir(folder);
    }
}

/// Removes the block from root's own file, or only looks for it. Returns the file; `None` if it has no block.
///
/// # Errors
/// See [`NotApplied`].
pub(crate) fn remove_block(files: &Files<'_>, dry_run: bool) -> Result<Option<PathBuf>, NotApplied> {
    let without = sshd_drop_in::printed_with_and_without(files.sshd).map(|[_, without]| without);
    let mut block = Block::read(files, &without.unwrap_or_default())?;
    if block.keys().is_none() {
        return Ok(None);
    }
    if !dry_run {
        block.put(None)?;
    }
    Ok(Some(block.path().to_owned()))
}

//! Where sshd finds the managed keys: in the agent's own file, or in a marked block of root's own file (`[ssh-keys] write-to`).
//!
//! The keys are written to the new place, and sshd reads them there, before they leave another one (invariant K3). As long as another place
//! has keys, it has the same ones. Nothing is decided here. Outside of the block, no byte of root's own file changes (invariant K1).

use std::fs;
use std::path::PathBuf;

use crate::account_keys::accepted::AcceptedKeys;
use crate::account_keys::manage::WriteTo;
use crate::account_keys::managed_keys::ManagedKeys;
use crate::account_keys::own_block::{Block, Blocks};
use crate::account_keys::root_files::is_only_roots;
use crate::account_keys::sshd_drop_in::{self, NotInForce, Printed};
use crate::account_keys::store::{Files, NotApplied, read, write};

/// Where the keys are, and where they belong.
pub(super) struct Placement<'a> {
    files: &'a Files<'a>,
    write_to: WriteTo,
    /// The managed keys of the agent's own file.
    own_keys: ManagedKeys,
    blocks: Blocks,
    /// sshd's configuration for root; `None` without sshd, or if sshd does not print it.
    printed: Option<Printed>,
    has_sshd: bool,
    /// Whether sshd reads the keys; `None` if that is still to be done.
    in_force: Option<Result<(), NotInForce>>,
}

impl<'a> Placement<'a> {
    /// Reads where the keys are. A drop-in that is there is brought up to date: what an administrator changed must apply, whatever the
    /// service says.
    pub(super) fn open(files: &'a Files<'a>, write_to: WriteTo) -> Result<Self, NotApplied> {
        let is_refreshed = write_to == WriteTo::OwnFile && files.keys.drop_in.exists();
        let refreshed = is_refreshed.then(|| sshd_drop_in::put_in_force(files.keys, files.sshd));
        let (printed, in_force) = match refreshed {
            Some(Ok(printed)) => (Ok(printed), Some(Ok(()))),
            other => (sshd_drop_in::printed_for_root(files.sshd), other.map(|refreshed| refreshed.map(drop))),
        };
        let has_sshd = !matches!(printed, Err(NotInForce::NoSshd));
        let printed = match printed {
            Ok(printed) => Some(printed),
            // Which file is root's own is not known. Other SSH servers read the usual one.
            Err(why) if write_to == WriteTo::AuthorizedKeys && has_sshd => return Err(why.into()),
            Err(_) => None,
        };
        let mut blocks = Blocks::read(files, &printed.clone().unwrap_or_default());
        if write_to == WriteTo::AuthorizedKeys {
            blocks.used = Ok(blocks.used?);
        }
        let own_keys = ManagedKeys::parse(&read(&files.keys.file)?);
        Ok(Self { files, write_to, own_keys, blocks, printed, has_sshd, in_force })
    }

    /// The managed keys in each place.
    pub(super) fn keys(&self) -> Vec<ManagedKeys> {
        let blocks = self.blocks.used.iter().chain(&self.blocks.strays).filter_map(Block::keys);
        [&self.own_keys].into_iter().chain(blocks).cloned().collect()
    }

    /// The managed keys where they belong.
    pub(super) fn keys_in_place(&self) -> ManagedKeys {
        match (self.write_to, &self.blocks.used) {
            (WriteTo::AuthorizedKeys, Ok(block)) => block.keys().cloned().unwrap_or_default(),
            _ => self.own_keys.clone(),
        }
    }

    /// Whether there is neither the agent's file nor a block.
    pub(super) fn is_nowhere(&self) -> bool {
        let has_block =
            self.blocks.used.iter().chain(&self.blocks.strays).any(|block| block.keys().is_some());
        !self.files.keys.file.exists() && !has_block
    }

    /// Which keys sshd accepts.
    pub(super) fn accepted(&self) -> AcceptedKeys {
        AcceptedKeys::of_printed(self.printed.as_ref().map_or("", |printed| &printed.0))
    }

    /// The files of root alone that sshd reads, apart from the agent's.
    pub(super) fn files_of_persons(&self) -> Vec<PathBuf> {
        files_of_persons(self.files, self.printed.as_ref())
    }

    /// The block that is used.
    pub(super) fn into_block(self) -> Result<Block, NotApplied> {
        self.blocks.used
    }

    /// Writes the keys to where they belong, and to every other place that has keys. Returns what is wrong with those.
    pub(super) fn put(&mut self, keys: &ManagedKeys) -> Result<Vec<String>, NotApplied> {
        let mut problems = self.blocks.problems.clone();
        let is_in_block = self.write_to == WriteTo::AuthorizedKeys;
        if let Ok(block) = &mut self.blocks.used {
            if is_in_block {
                block.put(Some(keys))?;
            } else if block.keys().is_some() {
                problems.extend(block.put(Some(keys)).err().map(|why| why.to_string()));
            }
        }
        if !is_in_block {
            write(&self.files.keys.file, keys)?;
        } else if self.files.keys.file.exists() {
            problems.extend(write(&self.files.keys.file, keys).err().map(|why| why.to_string()));
        }
        for block in &mut self.blocks.strays {
            problems.extend(block.put(Some(keys)).err().map(|why| why.to_string()));
        }
        Ok(problems)
    }

    /// Has sshd read what was written.
    pub(super) fn put_in_force(&mut self) -> Result<(), NotInForce> {
        if self.write_to == WriteTo::AuthorizedKeys {
            return self.check_block();
        }
        match self.in_force.take() {
            Some(in_force) => in_force?,
            None => self.printed = Some(sshd_drop_in::put_in_force(self.files.keys, self.files.sshd)?),
        }
        let file = &self.files.keys.file;
        let is_strict = self.printed.as_ref().is_some_and(Printed::is_strict);
        if is_strict && !is_only_roots(file, self.files.root.home()) {
            return Err(NotInForce::FileRefused(file.clone()));
        }
        Ok(())
    }

    fn check_block(&self) -> Result<(), NotInForce> {
        let Ok(block) = &self.blocks.used else { return Ok(()) };
        let is_read = !self.has_sshd || self.files_of_persons().iter().any(|file| file == block.path());
        // A new file may be in a folder that sshd refuses.
        let is_safe = Block::read(block.path(), self.files.root.home()).is_ok();
        if is_read && is_safe { Ok(()) } else { Err(NotInForce::OwnFileNotRead(block.path().to_owned())) }
    }

    /// Removes the keys from where they do not belong. sshd must read them where they do. Returns what is wrong.
    pub(super) fn leave_other_places(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut blocks: Vec<_> = self.blocks.strays.iter_mut().collect();
        match (self.write_to, &mut self.blocks.used) {
            (WriteTo::OwnFile, Ok(block)) => blocks.push(block),
            (WriteTo::AuthorizedKeys, Ok(block)) => {
                let path = block.path();
                let is_enough = |printed: &Printed| {
                    files_of_persons(self.files, Some(printed)).iter().any(|file| file == path)
                };
                match sshd_drop_in::take_back(self.files.keys, self.files.sshd, is_enough) {
                    Ok(()) => remove_own_file(self.files),
                    Err(why) => problems.push(why.to_string()),
                }
            }
            _ => {}
        }
        for block in blocks.into_iter().filter(|block| block.keys().is_some()) {
            problems.extend(block.put(None).err().map(|why| why.to_string()));
        }
        problems
    }

    /// Removes a key from every place. Returns whether it was there.
    pub(super) fn remove_key(&mut self, fingerprint: &str) -> Result<bool, NotApplied> {
        let mut is_found = self.own_keys.remove(fingerprint);
        if is_found {
            write(&self.files.keys.file, &self.own_keys)?;
        }
        for block in self.blocks.used.iter_mut().chain(&mut self.blocks.strays) {
            let mut keys = block.keys().cloned().unwrap_or_default();
            if keys.remove(fingerprint) {
                block.put(Some(&keys))?;
                is_found = true;
            }
        }
        Ok(is_found)
    }
}

fn files_of_persons(files: &Files<'_>, printed: Option<&Printed>) -> Vec<PathBuf> {
    let of_root = |printed| sshd_drop_in::files_of_root(printed, files.keys, files.root.home());
    printed.map(of_root).unwrap_or_default()
}

/// Removes the agent's own file, and its folder if that is empty.
pub(super) fn remove_own_file(files: &Files<'_>) {
    let _ = fs::remove_file(&files.keys.file);
    if let Some(folder) = files.keys.file.parent() {
        let _ = fs::remove_dir(folder);
    }
}

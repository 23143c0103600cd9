//! The block of managed keys in a file of root's own: reads and writes it (invariant K1).
//!
//! A file that sshd would refuse is not used: others could have written the block.

use std::path::{Path, PathBuf};

use crate::account_keys::authorized_keys;
use crate::account_keys::block::TextWithBlock;
use crate::account_keys::managed_keys::ManagedKeys;
use crate::account_keys::own_file::OwnFile;
use crate::account_keys::root_files::is_only_roots;
use crate::account_keys::sshd_drop_in::{self, Printed};
use crate::account_keys::store::{Files, NotApplied};

/// A file of root's own, and the block in it.
pub(super) struct Block {
    file: OwnFile,
    text: TextWithBlock,
}

impl Block {
    /// Reads a file; one that is not there has no block.
    pub(super) fn read(path: &Path, home: &Path) -> Result<Self, NotApplied> {
        let file = OwnFile::read(path).map_err(|why| NotApplied::File(path.to_owned(), why))?;
        if file.exists() && !path.canonicalize().is_ok_and(|path| is_only_roots(&path, home)) {
            return Err(NotApplied::Refused(path.to_owned()));
        }
        let text =
            TextWithBlock::parse(&file.bytes).map_err(|why| NotApplied::Block(path.to_owned(), why))?;
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

    /// The file.
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

/// The blocks in root's own files.
pub(super) struct Blocks {
    /// The one that is used: that in a file that sshd reads, or a new one in the first such file.
    pub(super) used: Result<Block, NotApplied>,
    /// Blocks in other files.
    pub(super) strays: Vec<Block>,
    /// Blocks that cannot be used.
    pub(super) problems: Vec<String>,
}

impl Blocks {
    /// Looks for blocks in the files that sshd reads for root alone, and in the usual one.
    pub(super) fn read(files: &Files<'_>, printed: &Printed) -> Self {
        let home = files.root.home();
        let read_by_sshd = sshd_drop_in::files_of_root(printed, files.keys, home);
        let usual = home.join(".ssh/authorized_keys");
        let first = read_by_sshd.first().unwrap_or(&usual).clone();
        let mut paths: Vec<PathBuf> = read_by_sshd.clone();
        if !paths.contains(&usual) {
            paths.push(usual);
        }
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        for path in &paths {
            match Block::read(path, home) {
                Ok(block) if block.keys().is_some() => found.push(block),
                Ok(_) => {}
                Err(why) if authorized_keys::read(path).is_ok_and(|text| TextWithBlock::is_marked(&text)) => {
                    problems.push(why.to_string());
                }
                Err(_) => {}
            }
        }
        let is_read =
            |block: &Block| block.path() == first || read_by_sshd.iter().any(|it| it == block.path());
        let used = found.iter().position(is_read).map(|at| found.remove(at));
        Self { used: used.map_or_else(|| Block::read(&first, home), Ok), strays: found, problems }
    }
}

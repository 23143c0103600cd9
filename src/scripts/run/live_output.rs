//! The live output of the running script, for root: the end of its output, in two files. The older file is replaced.
//!
//! The journal has the complete output. The live output is for a runner that does not write to a journal. Each file has at
//! most [`MAX_FILE_BYTES`]. The files stay after the end of the run, so that a viewer sees the last lines. They are removed
//! when the next run but one begins.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::util::files;

/// The maximum size of one file, in bytes.
const MAX_FILE_BYTES: usize = 256 * 1024;
/// The suffix of the older file's name.
const OLDER_SUFFIX: &str = ".older";
/// How many bytes are read at once.
const CHUNK_BYTES: u64 = 64 * 1024;

/// The writer, for the runner.
pub(crate) struct LiveOutput {
    path: PathBuf,
    file: File,
    written: usize,
}

impl LiveOutput {
    /// Creates the file of a new run, and removes the files of older runs.
    ///
    /// # Errors
    /// A file cannot be created or removed.
    pub(crate) fn begin(path: &Path) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        files::create_private_folder(folder)?;
        remove_old(folder)?;
        Ok(Self { path: path.to_owned(), file: create(path)?, written: 0 })
    }

    /// Appends output of the script.
    ///
    /// # Errors
    /// The file cannot be written, for example because /run is full.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.written + bytes.len() > MAX_FILE_BYTES {
            fs::rename(&self.path, older_path(&self.path))?;
            (self.file, self.written) = (create(&self.path)?, 0);
        }
        self.file.write_all(bytes)?;
        self.written += bytes.len();
        Ok(())
    }
}

fn create(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Removes the files except for those of the latest run. The names begin with the time of the run.
fn remove_old(folder: &Path) -> io::Result<()> {
    let names = || {
        Ok::<_, io::Error>(
            fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()),
        )
    };
    let latest = names()?.max().unwrap_or_default();
    let latest = latest.strip_suffix(OLDER_SUFFIX).unwrap_or(&latest);
    for name in names()?.filter(|name| name.strip_suffix(OLDER_SUFFIX).unwrap_or(name) != latest) {
        fs::remove_file(folder.join(name))?;
    }
    Ok(())
}

fn older_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(OLDER_SUFFIX);
    name.into()
}

/// The reader, for a viewer. A slow reader misses the output that was replaced meanwhile.
pub(crate) struct OutputReader {
    path: PathBuf,
    file: File,
}

impl OutputReader {
    /// Opens the output at its oldest byte. `None`: there is no output.
    ///
    /// # Errors
    /// The file exists and cannot be opened.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        let opened = File::open(older_path(path)).or_else(|_| File::open(path));
        match opened {
            Ok(file) => Ok(Some(Self { path: path.to_owned(), file })),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(why),
        }
    }

    /// The next bytes. Empty: there are no new ones yet.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&mut self.file).take(CHUNK_BYTES).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            if let Ok(newer) = File::open(&self.path) {
                if newer.metadata()?.ino() != self.file.metadata()?.ino() {
                    // The runner may have written more between the read above and the replacement.
                    (&mut self.file).take(CHUNK_BYTES).read_to_end(&mut bytes)?;
                    let is_next =
                        File::open(older_path(&self.path))?.metadata()?.ino() == self.file.metadata()?.ino();
                    if !is_next {
                        bytes.extend(
                            b"\n--- some output is missing: it was replaced before it could be shown ---\n",
                        );
                    }
                    self.file = newer;
                    (&mut self.file).take(CHUNK_BYTES).read_to_end(&mut bytes)?;
                }
            }
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s2_viewer_sees_every_byte_across_replacements() {
        let folder = std::env::temp_dir().join(format!("live-output-{}", std::process::id()));
        let path = folder.join("output-1");
        let mut output = LiveOutput::begin(&path).expect("begun");
        let mut reader = OutputReader::open(&path).expect("opened").expect("there");
        assert_eq!(reader.read().expect("read"), b"");
        let (mut written, mut read) = (Vec::new(), Vec::new());
        for number in 0..100_u8 {
            let bytes = vec![number; 10_000];
            output.add(&bytes).expect("added");
            written.extend(bytes);
            read.extend(reader.read().expect("read"));
        }
        read.extend(reader.read().expect("read"));
        assert_eq!((read.len(), read == written), (written.len(), true));
        // A late viewer sees the end of the output, at least one file of it.
        let mut reader = OutputReader::open(&path).expect("opened").expect("there");
        let mut late = Vec::new();
        while let Some(bytes) = reader.read().ok().filter(|bytes| !bytes.is_empty()) {
            late.extend(bytes);
        }
        assert!(late.len() >= MAX_FILE_BYTES - 10_000 && written.ends_with(&late), "{}", late.len());
        drop(output);
        let next = LiveOutput::begin(&folder.join("output-2")).expect("begun");
        assert!(OutputReader::open(&path).expect("opened").is_some(), "the last lines are still there");
        drop(next);
        LiveOutput::begin(&folder.join("output-3")).expect("begun");
        assert!(OutputReader::open(&path).expect("opened").is_none(), "the files are removed");
        fs::remove_dir_all(folder).expect("removed");
    }
}

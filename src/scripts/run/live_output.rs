//! The output of the script that runs, for root to look at: the last of it, in two files of which the older one is replaced.
//!
//! The journal has all of it. This is there for a runner that does not write to a journal, and bounded: [`LARGEST`] bytes each. The files
//! stay after the run's end, so that who looks on sees its last lines, until the next run but one begins.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::util::files;

/// Bytes of one file.
const LARGEST: usize = 256 * 1024;
/// How the name of the older file ends.
const OLDER: &str = ".older";
/// As many are read at once.
const CHUNK: u64 = 64 * 1024;

/// The runner's side.
pub(crate) struct LiveOutput {
    path: PathBuf,
    file: File,
    written: usize,
}

impl LiveOutput {
    /// Begins anew.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(crate) fn begin(path: &Path) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        files::private_folder(folder)?;
        remove_old(folder)?;
        Ok(Self { path: path.to_owned(), file: create(path)?, written: 0 })
    }

    /// Adds what was read from the script.
    ///
    /// # Errors
    /// When it cannot be written, as where /run is full.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.written + bytes.len() > LARGEST {
            fs::rename(&self.path, older(&self.path))?;
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

/// Removes what is not of the latest run: the names begin with the time.
fn remove_old(folder: &Path) -> io::Result<()> {
    let names = || {
        Ok::<_, io::Error>(
            fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()),
        )
    };
    let latest = names()?.max().unwrap_or_default();
    let latest = latest.strip_suffix(OLDER).unwrap_or(&latest);
    for name in names()?.filter(|name| name.strip_suffix(OLDER).unwrap_or(name) != latest) {
        fs::remove_file(folder.join(name))?;
    }
    Ok(())
}

fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(OLDER);
    name.into()
}

/// The side of somebody who looks on. Who reads too slowly misses what was replaced meanwhile.
pub(crate) struct OutputReader {
    path: PathBuf,
    file: File,
}

impl OutputReader {
    /// From the oldest byte that is there; `None` where there is no output.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        let opened = File::open(older(path)).or_else(|_| File::open(path));
        match opened {
            Ok(file) => Ok(Some(Self { path: path.to_owned(), file })),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(why),
        }
    }

    /// The next bytes; none where no more are there yet.
    ///
    /// # Errors
    /// As the system reports.
    pub(crate) fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&mut self.file).take(CHUNK).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            if let Ok(newer) = File::open(&self.path) {
                if newer.metadata()?.ino() != self.file.metadata()?.ino() {
                    // It may have been written to between the look at its end and its replacement.
                    (&mut self.file).take(CHUNK).read_to_end(&mut bytes)?;
                    let is_next =
                        File::open(older(&self.path))?.metadata()?.ino() == self.file.metadata()?.ino();
                    if !is_next {
                        bytes.extend(b"\n--- some of its output was replaced before it was shown ---\n");
                    }
                    self.file = newer;
                    (&mut self.file).take(CHUNK).read_to_end(&mut bytes)?;
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
    fn s2_who_looks_on_sees_every_byte_over_replacements() {
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
        // Who comes late sees the end, of one file at least.
        let mut reader = OutputReader::open(&path).expect("opened").expect("there");
        let mut late = Vec::new();
        while let Some(bytes) = reader.read().ok().filter(|bytes| !bytes.is_empty()) {
            late.extend(bytes);
        }
        assert!(late.len() >= LARGEST - 10_000 && written.ends_with(&late), "{}", late.len());
        drop(output);
        let next = LiveOutput::begin(&folder.join("output-2")).expect("begun");
        assert!(OutputReader::open(&path).expect("looked").is_some(), "its last lines can still be seen");
        drop(next);
        LiveOutput::begin(&folder.join("output-3")).expect("begun");
        assert!(OutputReader::open(&path).expect("looked").is_none(), "and then it goes");
        fs::remove_dir_all(folder).expect("removed");
    }
}

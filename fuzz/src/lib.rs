//! Functions that the fuzz targets share: a folder, an event loop, and splitting an input into several files.
//!
//! A target passes its input to a function of the agent and then asserts an invariant. This module does neither.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

/// An empty folder that only this process uses. `fuzz/run` places it in memory.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder =
        FOLDER.get_or_init(|| std::env::temp_dir().join(format!("scw-agent-fuzz-{}", std::process::id())));
    let _ = fs::remove_dir_all(folder);
    fs::create_dir(folder).expect("TMPDIR is a folder");
    folder
}

/// The event loop.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Builder::new_current_thread().enable_all().build().expect("an event loop"))
}

/// Splits an input into files. The lines after a line `=== NAME` are the file of that name; the lines before the first such line are the
/// file `first`. Names have letters, digits, dots and hyphens. There are at most 8 files.
pub fn files(input: &[u8], first: &str) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![(first.to_owned(), Vec::new())];
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        let name = line.strip_prefix(b"=== ").and_then(|name| std::str::from_utf8(name).ok()).map(str::trim);
        let good = |name: &&str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
            (1..32).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('.')
        };
        match name.filter(good) {
            Some(name) if files.len() < 8 && files.iter().all(|(known, _)| known != name) => {
                files.push((name.to_owned(), Vec::new()));
            }
            _ => files.last_mut().expect("never empty").1.extend_from_slice(line),
        }
    }
    files
}

//! What a script left running: its processes are known by a word in their environment, wherever they went (another group, another
//! session, another parent). It only looks.

use std::fs::{self, File};
use std::io::Read;

use crate::printable;

/// As many are named as help to find the rest.
const MOST: usize = 16;
/// The kernel lets a program start with an environment of 6 MiB at most.
const LARGEST: u64 = 8 * 1024 * 1024;

/// The processes of a run, as `NAME (PID)`.
pub(super) fn processes(run: &str) -> Vec<String> {
    let mark = format!("SCW_SETUP_RUN={run}");
    let carries_mark = |pid: &str| {
        // A process may show any part of its memory as its environment, so this is read within a bound.
        let mut environment = Vec::new();
        if let Ok(file) = File::open(format!("/proc/{pid}/environ")) {
            let _ = file.take(LARGEST).read_to_end(&mut environment);
        }
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().into_string().ok());
    pids.filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()) && carries_mark(pid))
        .take(MOST)
        .map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("{} ({pid})", printable::line(name.trim()))
        })
        .collect()
}

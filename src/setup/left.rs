//! What a script left running: its processes are known by a word in their environment, wherever they went (another group, another
//! session, another parent). It only looks.

use std::fs;

use crate::printable;

/// As many are named as help to find the rest.
const MOST: usize = 16;

/// The processes of a run, as `NAME (PID)`.
pub(super) fn processes(run: &str) -> Vec<String> {
    let mark = format!("SCW_SETUP_RUN={run}");
    let carries_mark = |pid: &str| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
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

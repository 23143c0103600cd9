//! Finds the leftover processes of a run; it never signals them. They are in the attempt's control group. If it has no group,
//! they are found by a variable in their environment, also in another session or with another parent.
//!
//! To read a process's environment, the kernel takes a lock on its memory. Any user can block this lock for ever with a file
//! system of their own that does not answer. So threads read the environments, and a process that cannot be read in time is
//! not reported (invariant D3). Processes of root are read first, so that no other user can hide them.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Read;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::scripts::run::control_group::ControlGroup;
use crate::util::printable;

/// The highest number of processes that are reported. That many help to find the others.
const MAX_REPORTED: usize = 16;
/// The maximum size of an environment that is read, in bytes. The kernel starts no program with more than 6 MiB.
const MAX_ENVIRONMENT_BYTES: u64 = 8 * 1024 * 1024;
/// A thread that reads one process for longer than this is abandoned, and another thread continues.
const READ_TIMEOUT: Duration = Duration::from_secs(1);
/// The time for reading all processes.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(10);

/// The variable that contains the id of the run.
const RUN_VARIABLE: &[u8] = b"SCW_SETUP_RUN=";

/// Whether this value of the variable belongs to the run.
type IsRun = dyn Fn(&[u8]) -> bool + Send + Sync;

/// The leftover processes of the run with this id, as `NAME (PID)`. `known`: processes that are known to belong to it.
pub(crate) fn leftover_processes_of(run: &str, known: &[Pid]) -> Vec<String> {
    let number = |pid: &Pid| u32::try_from(pid.as_raw()).ok();
    let mut pids = match ControlGroup::of_run(run) {
        Some(group) => group.processes().iter().filter_map(number).collect(),
        None => {
            let run = run.to_owned();
            pids_of(move |value| value == run.as_bytes())
        }
    };
    pids.extend(known.iter().filter_map(number));
    names(pids)
}

/// The leftover processes of the runs that `is_run` selects, as `NAME (PID)`. `is_run` gets the value of `SCW_SETUP_RUN` of
/// each process that has this variable.
pub(crate) fn processes(is_run: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Vec<String> {
    names(pids_of(is_run))
}

/// The processes of the runs that `is_run` selects. Those of root are read first.
fn pids_of(is_run: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Vec<u32> {
    let mut pids: Vec<u32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_by_cached_key(|pid| (!is_of_root(*pid), *pid));
    search(pids, Arc::new(is_run))
}

/// The processes as `NAME (PID)`.
fn names(mut pids: Vec<u32>) -> Vec<String> {
    pids.sort_unstable();
    pids.dedup();
    let names = pids.into_iter().take(MAX_REPORTED).map(|pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        format!("{} ({pid})", printable::line(name.trim()))
    });
    names.collect()
}

/// The processes that belong to the run. A thread reads them one after the other. If it hangs, another thread continues with
/// the next process.
fn search(pids: Vec<u32>, is_run: Arc<IsRun>) -> Vec<u32> {
    let mut unread = pids.len();
    let queue = Arc::new(Mutex::new(pids.into()));
    let (results, received) = channel();
    let deadline = Instant::now() + SEARCH_TIMEOUT;
    let mut found = Vec::new();
    while unread > 0 && Instant::now() < deadline {
        let (thread_queue, results, is_run) = (Arc::clone(&queue), results.clone(), Arc::clone(&is_run));
        if thread::Builder::new().spawn(move || read_queue(&thread_queue, &results, &*is_run)).is_err() {
            break;
        }
        while let Ok((pid, is_of_run)) =
            received.recv_timeout(READ_TIMEOUT.min(deadline.saturating_duration_since(Instant::now())))
        {
            found.extend(is_of_run.then_some(pid));
            unread -= 1;
            if unread == 0 || Instant::now() > deadline {
                return found;
            }
        }
        if locked(&queue).is_empty() {
            break;
        }
    }
    found
}

/// Reads processes from the queue, in a thread. It ends when the receiver of the results is gone.
fn read_queue(queue: &Mutex<VecDeque<u32>>, results: &Sender<(u32, bool)>, is_run: &IsRun) {
    // The guard must be dropped before the process is read.
    let next = || locked(queue).pop_front();
    while let Some(pid) = next() {
        if results.send((pid, belongs_to_run(pid, is_run))).is_err() {
            return;
        }
    }
}

fn locked(queue: &Mutex<VecDeque<u32>>) -> MutexGuard<'_, VecDeque<u32>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a process belongs to the run, by its environment.
fn belongs_to_run(pid: u32, is_run: &IsRun) -> bool {
    // A process can declare any part of its memory as its environment, so the size has a limit.
    let mut environment = Vec::new();
    if let Ok(file) = File::open(format!("/proc/{pid}/environ")) {
        let _ = file.take(MAX_ENVIRONMENT_BYTES).read_to_end(&mut environment);
    }
    environment
        .split(|byte| *byte == 0)
        .any(|variable| variable.strip_prefix(RUN_VARIABLE).is_some_and(is_run))
}

/// Whether root started the process, and it has root's privileges. The owner in /proc does not show this: a process that must not be
/// traced belongs to root there.
fn is_of_root(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.is_some_and(|uids| uids.split_whitespace().all(|uid| uid == "0"))
}

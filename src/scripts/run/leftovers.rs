//! What a script left running. It only looks. The processes are in the attempt's control group; where it has none, they are known by a
//! word in their environment, wherever they went (another session, another parent).
//!
//! To read a process's environment, the kernel takes a lock of its memory, and any user can have that lock held for ever: by a file
//! system of their own, which does not answer. So threads read, and what cannot be read in time is not counted (invariant D3).
//! Processes of root come first, so no other user can hide them.

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

/// As many are named as help to find the rest.
const MOST: usize = 16;
/// The kernel lets a program start with an environment of 6 MiB at most.
const LARGEST: u64 = 8 * 1024 * 1024;
/// A thread that reads one process for so long is left behind, and another one goes on.
const STUCK: Duration = Duration::from_secs(1);
/// How long all of them are read.
const PATIENCE: Duration = Duration::from_secs(10);

/// What carries the word.
const VARIABLE: &[u8] = b"SCW_SETUP_RUN=";

/// Whether this is the word of the run that is looked for.
type IsRun = dyn Fn(&[u8]) -> bool + Send + Sync;

/// The processes of the run with this id, as `NAME (PID)`; `known` are some of them.
pub(crate) fn processes_of(run: &str, known: &[Pid]) -> Vec<String> {
    let number = |pid: &Pid| u32::try_from(pid.as_raw()).ok();
    let mut found = match ControlGroup::of_run(run) {
        Some(group) => group.processes().iter().filter_map(number).collect(),
        None => {
            let run = run.to_owned();
            pids(move |word| word == run.as_bytes())
        }
    };
    found.extend(known.iter().filter_map(number));
    names(found)
}

/// The same for runs that are known otherwise: `is_run` gets the value of `SCW_SETUP_RUN` of each process that has one.
pub(crate) fn processes(is_run: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Vec<String> {
    names(pids(is_run))
}

fn pids(is_run: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Vec<u32> {
    let mut pids: Vec<u32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_by_cached_key(|pid| (!is_roots(*pid), *pid));
    look(pids, Arc::new(is_run))
}

fn names(mut found: Vec<u32>) -> Vec<String> {
    found.sort_unstable();
    found.dedup();
    let shown = found.into_iter().take(MOST).map(|pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        format!("{} ({pid})", printable::line(name.trim()))
    });
    shown.collect()
}

/// Those of the processes that belong to the run. A thread reads them one after the other; when it does not get on, a further thread
/// takes over behind the process that it reads.
fn look(pids: Vec<u32>, is_run: Arc<IsRun>) -> Vec<u32> {
    let mut unread = pids.len();
    let queue = Arc::new(Mutex::new(pids.into()));
    let (results, received) = channel();
    let end = Instant::now() + PATIENCE;
    let mut found = Vec::new();
    while unread > 0 && Instant::now() < end {
        let (theirs, results, is_run) = (Arc::clone(&queue), results.clone(), Arc::clone(&is_run));
        if thread::Builder::new().spawn(move || read(&theirs, &results, &*is_run)).is_err() {
            break;
        }
        while let Ok((pid, is_of_run)) =
            received.recv_timeout(STUCK.min(end.saturating_duration_since(Instant::now())))
        {
            found.extend(is_of_run.then_some(pid));
            unread -= 1;
            if unread == 0 || Instant::now() > end {
                return found;
            }
        }
        if locked(&queue).is_empty() {
            break;
        }
    }
    found
}

/// One thread's work. It ends when nobody wants results any more.
fn read(queue: &Mutex<VecDeque<u32>>, results: &Sender<(u32, bool)>, is_run: &IsRun) {
    // The guard must be gone before the process is read.
    let next = || locked(queue).pop_front();
    while let Some(pid) = next() {
        if results.send((pid, belongs(pid, is_run))).is_err() {
            return;
        }
    }
}

fn locked(queue: &Mutex<VecDeque<u32>>) -> MutexGuard<'_, VecDeque<u32>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

fn belongs(pid: u32, is_run: &IsRun) -> bool {
    // A process may show any part of its memory as its environment, so this is read within a bound.
    let mut environment = Vec::new();
    if let Ok(file) = File::open(format!("/proc/{pid}/environ")) {
        let _ = file.take(LARGEST).read_to_end(&mut environment);
    }
    environment.split(|byte| *byte == 0).any(|variable| variable.strip_prefix(VARIABLE).is_some_and(is_run))
}

/// Whether root started it, and it has root's rights. Its owner in /proc does not tell: a process that may not be traced is root's there.
fn is_roots(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.is_some_and(|uids| uids.split_whitespace().all(|uid| uid == "0"))
}

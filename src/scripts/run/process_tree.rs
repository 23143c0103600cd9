//! The processes below the runner that come from a script, whatever group or session they went to.
//!
//! The runner becomes the parent of every process whose own parent has ended (a subreaper), so all of them stay below it. What was below
//! it before the attempt, an earlier script left running: that lives on (invariant S4). Without control groups, as in a person's shell,
//! what such a process starts later and leaves without a parent counts as the attempt's.

use std::fs;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

/// The processes of one attempt.
pub(crate) struct ProcessTree {
    /// What was below the runner before, each with the time of its start: a process id may be given to another.
    before: Vec<Process>,
}

/// What the kernel says of a process.
#[derive(Clone)]
struct Process {
    pid: Pid,
    parent: Pid,
    started: u64,
    has_ended: bool,
}

impl ProcessTree {
    /// To be called before the attempt's first process is started.
    pub(crate) fn begin() -> Self {
        // From Linux 3.4 on.
        let _ = set_child_subreaper(true);
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let is_childless = waitid(Id::All, flags) == Err(Errno::ECHILD);
        Self { before: if is_childless { Vec::new() } else { below(Pid::this(), &all(), &[]) } }
    }

    /// What has come from the attempt and still runs. `others`: processes that are known not to.
    pub(crate) fn processes(&self, others: &[Pid]) -> Vec<Pid> {
        let all: Vec<_> = all().into_iter().filter(|process| !others.contains(&process.pid)).collect();
        below(Pid::this(), &all, &self.before).into_iter().map(|process| process.pid).collect()
    }

    /// Takes the ends of those whose own parent has ended, but for `script`, whose end somebody else waits for: their process ids would be
    /// taken for ever.
    pub(crate) fn reap(&self, script: Option<Pid>) {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        loop {
            match waitid(Id::All, flags) {
                // It comes first until it is waited for.
                Ok(WaitStatus::Exited(ended, _) | WaitStatus::Signaled(ended, _, _))
                    if Some(ended) != script =>
                {
                    let _ = waitpid(ended, Some(WaitPidFlag::WNOHANG));
                }
                // It ended by a signal that has no name.
                Err(Errno::EINVAL) => {
                    let ended = list()
                        .into_iter()
                        .filter(|process| process.has_ended && process.parent == Pid::this());
                    for process in ended.filter(|process| Some(process.pid) != script) {
                        let _ = waitpid(process.pid, Some(WaitPidFlag::WNOHANG));
                    }
                    return;
                }
                _ => return,
            }
        }
    }
}

/// All processes below this one, but for those that are named and what is below them. One that has ended and is not waited for is none.
fn below(ancestor: Pid, all: &[Process], but: &[Process]) -> Vec<Process> {
    let is_named = |process: &Process| {
        but.iter().any(|named| named.pid == process.pid && named.started == process.started)
    };
    let mut found: Vec<Process> = Vec::new();
    let mut parent = Some(ancestor);
    let mut next = 0;
    while let Some(pid) = parent {
        found.extend(all.iter().filter(|process| process.parent == pid && !is_named(process)).cloned());
        parent = found.get(next).map(|process| process.pid);
        next += 1;
    }
    found
}

/// All that run. A process whose first thread has ended, and others not, has the state of one that has ended.
fn all() -> Vec<Process> {
    list().into_iter().filter(|process| !process.has_ended).collect()
}

fn list() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| {
        read(Pid::from_raw(pid), &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    })
    .collect()
}

/// Reads `/proc/PID/stat` (proc(5)): fields 3 (state), 4 (parent), 20 (threads) and 22 (start). The second one, a name in parentheses,
/// can hold anything.
fn read(pid: Pid, stat: &str) -> Option<Process> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let is_ended_thread = matches!(fields.next()?, "Z" | "X");
    let parent = Pid::from_raw(fields.next()?.parse().ok()?);
    let threads: u32 = fields.nth(15)?.parse().ok()?;
    let started = fields.nth(1)?.parse().ok()?;
    Some(Process { pid, parent, started, has_ended: is_ended_thread && threads <= 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, started: u64) -> Process {
        Process { pid: Pid::from_raw(pid), parent: Pid::from_raw(parent), started, has_ended: false }
    }

    #[test]
    fn s4_what_an_earlier_script_left_is_not_of_this_attempt() {
        let all =
            [(2, 1), (3, 2), (4, 2), (5, 3), (6, 4), (7, 1)].map(|(pid, parent)| process(pid, parent, 9));
        let pids = |but: &[Process]| {
            below(Pid::from_raw(2), &all, but).into_iter().map(|found| found.pid.as_raw()).collect::<Vec<_>>()
        };
        assert_eq!(pids(&[]), [3, 4, 5, 6]);
        assert_eq!(pids(&[process(3, 2, 9)]), [4, 6], "with what is below it");
        assert_eq!(pids(&[process(3, 2, 8)]), [3, 4, 5, 6], "another process with its id");
    }

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let rest = |threads: u32| format!("1 1 0 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 {threads} 0 1234 0 0");
        let read = |stat: String| {
            read(Pid::this(), &stat).map(|found| (found.parent.as_raw(), found.started, found.has_ended))
        };
        assert_eq!(read(format!("77 (a) S 9 b) S {}", rest(1))), Some((1, 1234, false)));
        assert_eq!(read(format!("77 (sh) Z {}", rest(1))), Some((1, 1234, true)));
        assert_eq!(read(format!("77 (sh) Z {}", rest(2))), Some((1, 1234, false)), "another thread runs");
        assert_eq!(read("77 (sh) S 1".to_owned()), None);
    }
}

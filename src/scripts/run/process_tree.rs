//! The descendants of the runner that belong to a script, in any group or session.
//!
//! The runner is a subreaper: it becomes the parent of every descendant whose own parent has ended, so all of them stay its
//! descendants. Descendants that existed before the attempt are leftover processes of an earlier script and are not ended
//! (invariant S4). Without control groups, as in a person's shell, there is one limit: if such a process later starts another
//! one and ends, the new process is treated as one of the attempt.

use std::fs;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

/// The processes of one attempt.
pub(crate) struct ProcessTree {
    /// The runner's descendants before the attempt. Each has its start time, because a process id can be used again.
    before: Vec<Process>,
}

/// A process, from /proc.
#[derive(Clone)]
struct Process {
    pid: Pid,
    parent: Pid,
    started: u64,
    has_ended: bool,
}

impl ProcessTree {
    /// Must be called before the attempt's first process is started.
    pub(crate) fn begin() -> Self {
        // Available from Linux 3.4 on.
        let _ = set_child_subreaper(true);
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let is_childless = waitid(Id::All, flags) == Err(Errno::ECHILD);
        if is_childless {
            return Self { before: Vec::new() };
        }
        Self { before: descendants(Pid::this(), &running_processes(), &[]) }
    }

    /// The processes of the attempt that still run. `others`: processes that are known not to belong to it.
    pub(crate) fn processes(&self, others: &[Pid]) -> Vec<Pid> {
        let all: Vec<_> =
            running_processes().into_iter().filter(|process| !others.contains(&process.pid)).collect();
        descendants(Pid::this(), &all, &self.before).into_iter().map(|process| process.pid).collect()
    }

    /// Reaps the children that have ended, so that their process ids become free. `script`: the process whose end the caller waits
    /// for; it is not reaped.
    pub(crate) fn reap(&self, script: Option<Pid>) {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        loop {
            match waitid(Id::All, flags) {
                // An ended process is reported again until it is reaped.
                Ok(WaitStatus::Exited(ended, _) | WaitStatus::Signaled(ended, _, _))
                    if Some(ended) != script =>
                {
                    let _ = waitpid(ended, Some(WaitPidFlag::WNOHANG));
                }
                // A process was ended by a signal that nix does not know.
                Err(Errno::EINVAL) => {
                    let ended = all_processes()
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

/// The descendants of a process among `all`, except for the processes in `excluded` and their descendants.
fn descendants(ancestor: Pid, all: &[Process], excluded: &[Process]) -> Vec<Process> {
    let is_excluded = |process: &Process| {
        excluded.iter().any(|other| other.pid == process.pid && other.started == process.started)
    };
    let mut found: Vec<Process> = Vec::new();
    let mut parent = Some(ancestor);
    let mut next = 0;
    while let Some(pid) = parent {
        found.extend(all.iter().filter(|process| process.parent == pid && !is_excluded(process)).cloned());
        parent = found.get(next).map(|process| process.pid);
        next += 1;
    }
    found
}

/// All processes that run. A process is a zombie, and does not run, if it has ended and its parent has not reaped it.
fn running_processes() -> Vec<Process> {
    all_processes().into_iter().filter(|process| !process.has_ended).collect()
}

/// All processes, also zombies.
fn all_processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| {
        parse_stat(Pid::from_raw(pid), &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    })
    .collect()
}

/// Parses `/proc/PID/stat` (proc(5)): fields 3 (state), 4 (parent), 20 (threads) and 22 (start). Field 2, a name in
/// parentheses, may contain any characters. If only the first thread has ended, the state is that of a zombie, but there are
/// other threads: the process still runs.
fn parse_stat(pid: Pid, stat: &str) -> Option<Process> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let is_zombie = matches!(fields.next()?, "Z" | "X");
    let parent = Pid::from_raw(fields.next()?.parse().ok()?);
    let threads: u32 = fields.nth(15)?.parse().ok()?;
    let started = fields.nth(1)?.parse().ok()?;
    Some(Process { pid, parent, started, has_ended: is_zombie && threads <= 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, started: u64) -> Process {
        Process { pid: Pid::from_raw(pid), parent: Pid::from_raw(parent), started, has_ended: false }
    }

    #[test]
    fn s4_earlier_leftover_processes_are_excluded() {
        let all =
            [(2, 1), (3, 2), (4, 2), (5, 3), (6, 4), (7, 1)].map(|(pid, parent)| process(pid, parent, 9));
        let pids = |excluded: &[Process]| {
            descendants(Pid::from_raw(2), &all, excluded)
                .into_iter()
                .map(|process| process.pid.as_raw())
                .collect::<Vec<_>>()
        };
        assert_eq!(pids(&[]), [3, 4, 5, 6]);
        assert_eq!(pids(&[process(3, 2, 9)]), [4, 6], "without its descendants");
        assert_eq!(pids(&[process(3, 2, 8)]), [3, 4, 5, 6], "another process with the same id");
    }

    #[test]
    fn stat_is_parsed_with_any_process_name() {
        let rest = |threads: u32| format!("1 1 0 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 {threads} 0 1234 0 0");
        let parse = |stat: String| {
            parse_stat(Pid::this(), &stat)
                .map(|process| (process.parent.as_raw(), process.started, process.has_ended))
        };
        assert_eq!(parse(format!("77 (a) S 9 b) S {}", rest(1))), Some((1, 1234, false)));
        assert_eq!(parse(format!("77 (sh) Z {}", rest(1))), Some((1, 1234, true)));
        assert_eq!(parse(format!("77 (sh) Z {}", rest(2))), Some((1, 1234, false)), "another thread runs");
        assert_eq!(parse("77 (sh) S 1".to_owned()), None);
    }
}

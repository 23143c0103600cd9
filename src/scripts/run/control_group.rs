//! The control group of one attempt. All processes that a script starts are in it, also those in another session and those
//! without a parent. Only `su` with PAM moves the processes that it starts into another group;
//! [`crate::scripts::run::process_tree`] finds them.
//!
//! The group is below the group of the agent's unit, which systemd delegates to it (`Delegate=yes`), on the unified hierarchy.
//! Elsewhere, such as in a person's shell, the agent may not create a group. The group only contains processes; no controller
//! is enabled in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;

/// The units that delegate their group to the agent.
const UNITS: [&str; 2] = ["scw-agent-setup.service", "scw-agent-shutdown.service"];
/// Where the unified hierarchy is mounted. The second path is for systemd's hybrid layout.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// How many groups are read at most. A script of root's can create any number of groups below its own.
const MAX_GROUPS: usize = 10_000;
/// How many times the agent checks whether a killed group is empty, at most.
const MAX_POLLS: u32 = 200;
/// The time between two checks.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The group of one attempt.
pub(crate) struct ControlGroup(PathBuf);

impl ControlGroup {
    /// Creates the group of the run with this id. `None`: this process is not in a group that systemd delegates.
    ///
    /// # Errors
    /// The group cannot be created.
    pub(crate) fn create(run: &str) -> io::Result<Option<Self>> {
        let Some(unit) = unit_group() else { return Ok(None) };
        remove_empty_groups(&unit);
        let group = unit.join(run);
        fs::create_dir(&group)?;
        Ok(Some(Self(group)))
    }

    /// The group of an earlier run, as long as it exists: systemd removes it when it is empty and the unit has ended.
    pub(crate) fn of_run(run: &str) -> Option<Self> {
        let group = unit_group().filter(|_| !run.is_empty() && !run.contains('/'))?.join(run);
        group.is_dir().then_some(Self(group))
    }

    /// Moves a process into the group. The processes that it starts later are in the group, too.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn add(&self, process: Pid) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), process.to_string())
    }

    /// The processes in the group and in the groups below it.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        processes_below(self.0.clone())
    }

    /// The leftover processes of earlier attempts: those in the other groups of the unit.
    pub(crate) fn processes_of_other_attempts(&self) -> Vec<Pid> {
        let groups = fs::read_dir(self.0.parent().unwrap_or(Path::new("/"))).into_iter().flatten().flatten();
        let others = groups
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()) && entry.path() != self.0);
        others.flat_map(|entry| processes_below(entry.path())).collect()
    }

    /// Kills all processes in the group, and waits until they are gone, for two seconds at most.
    pub(crate) async fn kill(&self) {
        // From Linux 5.14 on, the kernel kills all of them at once, also if they start new ones all the time.
        let is_killed = self.write("cgroup.kill", "1");
        if !is_killed {
            self.write("cgroup.freeze", "1");
        }
        for _ in 0..MAX_POLLS {
            let remaining = self.processes();
            if remaining.is_empty() {
                break;
            }
            if !is_killed {
                for process in remaining {
                    let _ = kill(process, Signal::SIGKILL);
                }
            }
            sleep(POLL_INTERVAL).await;
        }
        if !is_killed {
            self.write("cgroup.freeze", "0");
        }
    }

    /// Writes to a file of the group. Returns whether the kernel accepted it.
    fn write(&self, file: &str, value: &str) -> bool {
        fs::OpenOptions::new()
            .write(true)
            .open(self.0.join(file))
            .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()))
            .is_ok()
    }
}

/// The group of the agent's unit, if this process is in it and not in a group below it.
fn unit_group() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = Path::new(groups.lines().find_map(|line| line.strip_prefix("0::/"))?);
    // systemd starts the command of `ExecStop=` in `.control`, if the unit has a delegated group.
    let own = if own.ends_with(".control") { own.parent()? } else { own };
    let is_of_unit = own.file_name().is_some_and(|name| UNITS.iter().any(|unit| name == *unit));
    // `cgroup.events` exists only in the unified hierarchy.
    let mut paths = ROOTS.iter().filter(|_| is_of_unit).map(|root| Path::new(root).join(own));
    paths.find(|group| group.join("cgroup.events").exists())
}

/// Removes the groups of earlier attempts without leftover processes.
fn remove_empty_groups(unit: &Path) {
    for entry in fs::read_dir(unit).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            // The kernel refuses if a process or another group is in it.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// The processes in a group and in the groups below it.
fn processes_below(group: PathBuf) -> Vec<Pid> {
    let mut groups = vec![group];
    let mut processes = Vec::new();
    let mut next = 0;
    while let Some(group) = groups.get(next).cloned() {
        next += 1;
        let listed = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        // 0 is a process of another namespace.
        processes.extend(
            listed.lines().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid > 0).map(Pid::from_raw),
        );
        let below = fs::read_dir(&group).into_iter().flatten().flatten();
        let below = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        groups.extend(below.map(|entry| entry.path()).take(MAX_GROUPS.saturating_sub(groups.len())));
    }
    processes
}

//! The control group of one attempt. All that a script starts is in it, in any session and without a parent, too. `su` with PAM moves
//! what it starts into another group; [`crate::scripts::run::process_tree`] finds that.
//!
//! It stands below the group of our own unit, which systemd delegates to us (`Delegate=yes`), on the unified hierarchy. Elsewhere, as in
//! a person's shell, no group may be made. It holds processes only; no controller is enabled in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;

/// The units whose group is ours.
const UNITS: [&str; 2] = ["scw-agent-setup.service", "scw-agent-shutdown.service"];
/// Where the unified hierarchy is mounted; the second is for systemd's hybrid layout.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// A script of root's can make groups below its own.
const MOST_GROUPS: usize = 10_000;
/// How often it is looked whether a killed group is empty, and how long between.
const LOOKS: u32 = 200;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// One attempt's group.
pub(crate) struct ControlGroup(PathBuf);

impl ControlGroup {
    /// A new one for the run with this id; `None` where this process has no group of its unit's own.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn create(run: &str) -> io::Result<Option<Self>> {
        let Some(unit) = of_unit() else { return Ok(None) };
        remove_empty(&unit);
        let group = unit.join(run);
        fs::create_dir(&group)?;
        Ok(Some(Self(group)))
    }

    /// The one of an earlier run, as long as it is there: systemd removes it when it is empty and the unit has ended.
    pub(crate) fn of_run(run: &str) -> Option<Self> {
        let group = of_unit().filter(|_| !run.is_empty() && !run.contains('/'))?.join(run);
        group.is_dir().then_some(Self(group))
    }

    /// Puts a process into it, with what that starts from now on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn add(&self, process: Pid) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), process.to_string())
    }

    /// The processes in it and in the groups below it.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        below(self.0.clone())
    }

    /// What earlier attempts left running: the processes of the other groups beside it.
    pub(crate) fn of_others(&self) -> Vec<Pid> {
        let groups = fs::read_dir(self.0.parent().unwrap_or(Path::new("/"))).into_iter().flatten().flatten();
        let others = groups
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()) && entry.path() != self.0);
        others.flat_map(|entry| below(entry.path())).collect()
    }

    /// Ends all of them, and waits until they are gone, for two seconds at most.
    pub(crate) async fn kill(&self) {
        // From Linux 5.14 on, the kernel does this at once, however fast they start others.
        let is_killed = self.write("cgroup.kill", "1");
        if !is_killed {
            self.write("cgroup.freeze", "1");
        }
        for _ in 0..LOOKS {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            if !is_killed {
                for process in left {
                    let _ = kill(process, Signal::SIGKILL);
                }
            }
            sleep(BETWEEN_LOOKS).await;
        }
        if !is_killed {
            self.write("cgroup.freeze", "0");
        }
    }

    fn write(&self, file: &str, word: &str) -> bool {
        fs::OpenOptions::new()
            .write(true)
            .open(self.0.join(file))
            .and_then(|mut file| io::Write::write_all(&mut file, word.as_bytes()))
            .is_ok()
    }
}

/// The group of our own unit, if this process is in it and not in one below.
fn of_unit() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = Path::new(groups.lines().find_map(|line| line.strip_prefix("0::/"))?);
    // Where systemd starts the command of ExecStop= of a unit with a delegated group.
    let own = if own.ends_with(".control") { own.parent()? } else { own };
    let is_units = own.file_name().is_some_and(|name| UNITS.iter().any(|unit| name == *unit));
    // A file that only the unified hierarchy has.
    let places = ROOTS.iter().filter(|_| is_units).map(|root| Path::new(root).join(own));
    places.into_iter().find(|group| group.join("cgroup.events").exists())
}

/// Removes the groups of earlier attempts that left nothing running.
fn remove_empty(unit: &Path) {
    for entry in fs::read_dir(unit).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            // The kernel refuses where a process or another group is in it.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// The processes of a group and of those below it.
fn below(group: PathBuf) -> Vec<Pid> {
    let mut groups = vec![group];
    let mut found = Vec::new();
    let mut next = 0;
    while let Some(group) = groups.get(next).cloned() {
        next += 1;
        let listed = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        // 0 stands for a process of another namespace.
        found.extend(
            listed.lines().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid > 0).map(Pid::from_raw),
        );
        let below = fs::read_dir(&group).into_iter().flatten().flatten();
        let below = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        groups.extend(below.map(|entry| entry.path()).take(MOST_GROUPS.saturating_sub(groups.len())));
    }
    found
}

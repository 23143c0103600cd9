//! All processes of one attempt. They are ended at a timeout or when the runner is stopped, and at no other time (invariant S4).
//!
//! They are in the attempt's control group, or descendants of the runner. Both are needed: `su` with PAM moves the processes
//! that it starts into another group, and a runner in a person's shell cannot create a group.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;

use crate::scripts::run::control_group::ControlGroup;
use crate::scripts::run::process_tree::ProcessTree;

/// How many times killed processes are searched, at most.
const MAX_POLLS: u32 = 200;
/// The time between two searches.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How many searches in a row must find no process. One search can miss a process that starts another one and ends at once.
const EMPTY_POLLS: u32 = 3;
/// The beginning of the warning that there is no control group.
const NO_GROUP: &str =
    "a script runs without its own control group; its processes are found by their parents";

/// The processes of one attempt.
pub(crate) struct AttemptProcesses {
    group: Option<ControlGroup>,
    tree: ProcessTree,
    /// How many searches in a row found no process.
    empty_polls: u32,
}

impl AttemptProcesses {
    /// Must be called before the attempt's first process is started. `run`: the id of the run.
    pub(crate) fn begin(run: &str) -> Self {
        let group = ControlGroup::create(run).unwrap_or_else(|why| {
            tracing::warn!("{NO_GROUP}: {why}");
            None
        });
        Self { group, tree: ProcessTree::begin(), empty_polls: 0 }
    }

    /// Adds the first process, which must not have started another one yet.
    pub(crate) fn add(&mut self, process: Pid) {
        if let Some(Err(why)) = self.group.as_ref().map(|group| group.add(process)) {
            tracing::warn!("{NO_GROUP}: {why}");
            self.group = None;
        }
    }

    /// The processes that run now.
    pub(crate) fn all(&self) -> Vec<Pid> {
        let Some(group) = &self.group else { return self.tree.processes(&[]) };
        let mut all = group.processes();
        let others = self.tree.processes(&group.processes_of_other_attempts()).into_iter();
        all.extend(others.filter(|process| !all.contains(process)).collect::<Vec<_>>());
        all
    }

    /// Whether none of them runs any more. It is true after several calls in a row that found no process.
    pub(crate) fn are_gone(&mut self) -> bool {
        self.empty_polls = if self.all().is_empty() { self.empty_polls + 1 } else { 0 };
        self.empty_polls >= EMPTY_POLLS
    }

    /// Sends SIGTERM to all of them.
    pub(crate) fn terminate(&self) {
        for process in self.all() {
            let _ = kill(process, Signal::SIGTERM);
        }
    }

    /// Kills all of them, and waits until they are gone, for some seconds at most. `script`: the process whose end the caller
    /// waits for; it is not reaped here.
    pub(crate) async fn kill(&mut self, script: Option<Pid>) {
        if let Some(group) = &self.group {
            group.kill().await;
        }
        for _ in 0..MAX_POLLS {
            self.tree.reap(script);
            if self.are_gone() {
                return;
            }
            for process in self.all() {
                let _ = kill(process, Signal::SIGKILL);
            }
            sleep(POLL_INTERVAL).await;
        }
        tracing::warn!("{} processes of a script still run after SIGKILL", self.all().len());
    }

    /// Reaps the children of the runner that have ended, except for the script itself: nothing else waits for them.
    pub(crate) fn reap(&self, script: Option<Pid>) {
        self.tree.reap(script);
    }
}

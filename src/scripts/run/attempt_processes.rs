//! All processes of one attempt, to be ended at a timeout or when the runner is told to stop, and at no other time (invariant S4).
//!
//! They are in the attempt's control group, or below the runner: `su` with PAM moves what it starts into a group of its own, and a
//! person's shell has no group to give.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;

use crate::scripts::run::control_group::ControlGroup;
use crate::scripts::run::process_tree::ProcessTree;

/// How often killed processes are looked for, and how long between.
const LOOKS: u32 = 200;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
/// So many looks in a row must find none: what starts another process and ends at once can be missed.
const EMPTY_LOOKS: u32 = 3;

/// The processes of one attempt.
pub(crate) struct AttemptProcesses {
    group: Option<ControlGroup>,
    tree: ProcessTree,
    /// Looks in a row that found none.
    empty_looks: u32,
}

impl AttemptProcesses {
    /// To be called before the attempt's first process is started. `run`: its id.
    pub(crate) fn begin(run: &str) -> Self {
        let group = ControlGroup::create(run).unwrap_or_else(|why| {
            tracing::warn!("{NO_GROUP}: {why}");
            None
        });
        Self { group, tree: ProcessTree::begin(), empty_looks: 0 }
    }

    /// Takes the first process, which has started no other yet.
    pub(crate) fn add(&mut self, process: Pid) {
        if let Some(Err(why)) = self.group.as_ref().map(|group| group.add(process)) {
            tracing::warn!("{NO_GROUP}: {why}");
            self.group = None;
        }
    }

    /// Those that run now.
    pub(crate) fn all(&self) -> Vec<Pid> {
        let Some(group) = &self.group else { return self.tree.processes(&[]) };
        let mut all = group.processes();
        let others = self.tree.processes(&group.of_others()).into_iter();
        all.extend(others.filter(|process| !all.contains(process)).collect::<Vec<_>>());
        all
    }

    /// Whether none of them runs any more, by several looks.
    pub(crate) fn are_gone(&mut self) -> bool {
        self.empty_looks = if self.all().is_empty() { self.empty_looks + 1 } else { 0 };
        self.empty_looks >= EMPTY_LOOKS
    }

    /// Asks all of them to end.
    pub(crate) fn terminate(&self) {
        for process in self.all() {
            let _ = kill(process, Signal::SIGTERM);
        }
    }

    /// Ends all of them, and waits until they are gone, for some seconds at most. `script`: the one whose end somebody else waits for.
    pub(crate) async fn kill(&mut self, script: Option<Pid>) {
        if let Some(group) = &self.group {
            group.kill().await;
        }
        for _ in 0..LOOKS {
            self.tree.reap(script);
            if self.are_gone() {
                return;
            }
            for process in self.all() {
                let _ = kill(process, Signal::SIGKILL);
            }
            sleep(BETWEEN_LOOKS).await;
        }
        tracing::warn!("{} processes of a script could not be ended", self.all().len());
    }

    /// A child of the runner has ended: if it is not the script itself, nobody else waits for it.
    pub(crate) fn reap(&self, script: Option<Pid>) {
        self.tree.reap(script);
    }
}

const NO_GROUP: &str = "a script has no control group of its own; its processes are known by their parents";

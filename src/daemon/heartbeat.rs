//! Heartbeats of the tasks that do the daemon's work. systemd's watchdog is notified only while no heartbeat
//! is overdue, because an event loop that runs while one of its tasks is stuck is a fault, too.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How late a heartbeat may be on a busy machine.
const TOLERANCE: Duration = Duration::from_secs(60);

/// The heartbeat of one task. Clones share its state.
#[derive(Clone)]
pub(crate) struct Heartbeat {
    name: &'static str,
    /// The time by which the next heartbeat must come; `None` while the task has nothing to do.
    due: Rc<Cell<Option<Instant>>>,
    /// Signalled when a part of the work is done.
    done: Rc<Notify>,
}

impl Heartbeat {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, due: Rc::default(), done: Rc::default() }
    }

    /// Records a heartbeat; the next one must come within `time`.
    pub(crate) fn set_due_within(&self, time: Duration) {
        self.due.set(Instant::now().checked_add(time + TOLERANCE));
    }

    /// The same at the end of a part of the work. The watchdog is notified then, so that it needs no timer of its own.
    pub(crate) fn set_done_until(&self, time: Duration) {
        self.set_due_within(time);
        self.done.notify_one();
    }

    /// Waits for the end of a part of the work.
    pub(crate) async fn done(&self) {
        self.done.notified().await;
    }

    /// Records a heartbeat; none is due until the task has a new request.
    pub(crate) fn set_idle(&self) {
        self.due.set(None);
    }

    /// The task's name if its heartbeat is overdue.
    pub(crate) fn overdue_task(&self) -> Option<&'static str> {
        self.due.get().filter(|due| *due < Instant::now()).map(|_| self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stuck_task_is_overdue_and_idle_task_is_not() {
        let heartbeat = Heartbeat::new("rounds");
        assert_eq!(heartbeat.overdue_task(), None);
        heartbeat.set_due_within(Duration::from_secs(900));
        tokio::time::advance(Duration::from_secs(900)).await;
        assert_eq!(heartbeat.overdue_task(), None, "a little late is not overdue");
        tokio::time::advance(TOLERANCE * 2).await;
        assert_eq!(heartbeat.overdue_task(), Some("rounds"));
        heartbeat.set_idle();
        assert_eq!(heartbeat.overdue_task(), None);
    }
}

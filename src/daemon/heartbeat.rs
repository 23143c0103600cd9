//! Signs of life of the tasks that do the work. The watchdog is fed for as long as none of them is overdue: a loop that turns while the work in it
//! stands still is a fault, too.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

/// A busy machine may be this late.
const LATE: Duration = Duration::from_secs(60);

/// One task's. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Heartbeat {
    name: &'static str,
    /// By when the next sign comes; none while there is nothing to do.
    due: Rc<Cell<Option<Instant>>>,
}

impl Heartbeat {
    pub(crate) fn of(name: &'static str) -> Self {
        Self { name, due: Rc::default() }
    }

    /// A sign of life; the next one comes within this time.
    pub(crate) fn next_within(&self, time: Duration) {
        self.due.set(Instant::now().checked_add(time + LATE));
    }

    /// A sign of life; there is nothing to do until somebody asks.
    pub(crate) fn idle(&self) {
        self.due.set(None);
    }

    /// The task's name, when its sign did not come.
    pub(crate) fn overdue(&self) -> Option<&'static str> {
        self.due.get().filter(|due| *due < Instant::now()).map(|_| self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_stands_still_is_overdue_and_an_idle_one_is_not() {
        let pulse = Heartbeat::of("keeper");
        assert_eq!(pulse.overdue(), None);
        pulse.next_within(Duration::from_secs(900));
        tokio::time::advance(Duration::from_secs(900)).await;
        assert_eq!(pulse.overdue(), None, "a little late is not dead");
        tokio::time::advance(LATE * 2).await;
        assert_eq!(pulse.overdue(), Some("keeper"));
        pulse.idle();
        assert_eq!(pulse.overdue(), None);
    }
}

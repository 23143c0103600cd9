//! How soon a change of the key files may cause work, while such changes come one after the other (invariants H4, T5). Pure.
//!
//! If a program writes there in a loop, the daemon must not send a request to the metadata service and to root's units for each write. The
//! same is true if a failed attempt of root's unit itself changes the folder.

use std::time::Duration;

use tokio::time::Instant;

/// The minimum distance of the first changes.
pub(crate) const MIN_DISTANCE: Duration = Duration::from_secs(3);
/// So many changes in a row have the minimum distance. Then it is doubled each time…
const BURST: u32 = 5;
/// …up to this one. A changed key passes two of these distances, one before the request to root's units and one after it, and is still
/// published within a minute.
const MAX_DISTANCE: Duration = Duration::from_secs(20);
/// After this many distances without a change, the next one is the first in a row.
const QUIET_DISTANCES: u32 = 4;

/// The changes that caused work so far.
#[derive(Debug, Default)]
pub(crate) struct ChangePace {
    last: Option<Instant>,
    in_a_row: u32,
}

impl ChangePace {
    /// When the next change may cause work; a time in the past if that is at once.
    pub(crate) fn allowed(&self) -> Option<Instant> {
        self.last.map(|last| last + self.distance())
    }

    /// Notes that a change causes work now.
    pub(crate) fn note(&mut self) {
        let now = Instant::now();
        let is_quiet = self.last.is_none_or(|last| now >= last + self.distance() * QUIET_DISTANCES);
        self.in_a_row = if is_quiet { 1 } else { self.in_a_row.saturating_add(1) };
        self.last = Some(now);
    }

    fn distance(&self) -> Duration {
        let factor = 2_u32.saturating_pow(self.in_a_row.saturating_sub(BURST));
        MIN_DISTANCE.saturating_mul(factor).min(MAX_DISTANCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn t5_endless_changes_cause_work_ever_less_often() {
        let mut pace = ChangePace::default();
        assert_eq!(pace.allowed(), None, "the first change, at once");
        let start = Instant::now();
        let mut times = Vec::new();
        while start.elapsed() < Duration::from_secs(200) {
            pace.note();
            times.push(start.elapsed().as_secs());
            let next = pace.allowed().expect("noted");
            tokio::time::advance(next - Instant::now()).await;
        }
        assert_eq!(times, [0, 3, 6, 9, 12, 15, 21, 33, 53, 73, 93, 113, 133, 153, 173, 193]);
        tokio::time::advance(MAX_DISTANCE * QUIET_DISTANCES).await;
        pace.note();
        assert_eq!(pace.allowed(), Some(Instant::now() + MIN_DISTANCE), "after a quiet time");
    }
}

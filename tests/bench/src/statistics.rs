//! Figures of repeated runs.

use std::fmt;
use std::time::Duration;

/// The least, the middle and the most of some durations.
pub(crate) struct Spread {
    least: Duration,
    median: Duration,
    most: Duration,
    runs: usize,
}

impl Spread {
    /// Of at least one run.
    pub(crate) fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        let at = |index: usize| durations.get(index).copied().unwrap_or_default();
        let runs = durations.len();
        Self { least: at(0), median: at(runs / 2), most: at(runs.saturating_sub(1)), runs }
    }

    /// The middle one.
    pub(crate) fn median(&self) -> Duration {
        self.median
    }

    /// This median as a multiple of the other's.
    pub(crate) fn ratio(&self, other: &Self) -> f64 {
        self.median.as_secs_f64() / other.median.as_secs_f64()
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
        let Self { least, median, most, runs } = *self;
        write!(f, "{:7.2} ms  ({:.2} to {:.2}, {runs} runs)", ms(median), ms(least), ms(most))
    }
}

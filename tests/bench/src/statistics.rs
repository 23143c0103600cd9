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

    /// The middle one, in milliseconds.
    pub(crate) fn median_ms(&self) -> f64 {
        self.median.as_secs_f64() * 1e3
    }

    /// The least, in milliseconds.
    pub(crate) fn least_ms(&self) -> f64 {
        self.least.as_secs_f64() * 1e3
    }

    /// The most, in milliseconds.
    pub(crate) fn most_ms(&self) -> f64 {
        self.most.as_secs_f64() * 1e3
    }

    /// Its cells in a table: the middle one, the least, the most, the number of runs.
    pub(crate) fn cells(&self) -> [String; 4] {
        let ms = |value: f64| format!("{} ms", crate::report::figure(value));
        [ms(self.median_ms()), ms(self.least_ms()), ms(self.most_ms()), self.runs.to_string()]
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, least, most, runs] = self.cells();
        write!(f, "{median}  ({least} to {most}, {runs} runs)")
    }
}

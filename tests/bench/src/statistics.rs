//! Statistics of repeated runs.

use std::fmt;
use std::time::Duration;

/// Minimum, median and maximum of some durations.
pub(crate) struct Spread {
    least: Duration,
    median: Duration,
    most: Duration,
    runs: usize,
}

impl Spread {
    /// The statistics of at least one run.
    pub(crate) fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        let at = |index: usize| durations.get(index).copied().unwrap_or_default();
        let runs = durations.len();
        Self { least: at(0), median: at(runs / 2), most: at(runs.saturating_sub(1)), runs }
    }

    /// The median.
    pub(crate) fn median(&self) -> Duration {
        self.median
    }

    /// The median in milliseconds.
    pub(crate) fn median_ms(&self) -> f64 {
        self.median.as_secs_f64() * 1e3
    }

    /// The minimum in milliseconds.
    pub(crate) fn least_ms(&self) -> f64 {
        self.least.as_secs_f64() * 1e3
    }

    /// The maximum in milliseconds.
    pub(crate) fn most_ms(&self) -> f64 {
        self.most.as_secs_f64() * 1e3
    }

    /// The cells of a table: median, minimum, maximum, number of runs.
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

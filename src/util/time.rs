//! A time as it is written in the records and the status: RFC 3339, UTC, with milliseconds.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A time with the precision of one millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(SystemTime);

impl Moment {
    /// The present time.
    pub fn now() -> Self {
        Self::of(SystemTime::now())
    }

    /// Truncates to milliseconds, so that a time that is written and read again is equal.
    fn of(time: SystemTime) -> Self {
        let length = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(UNIX_EPOCH + Duration::new(length.as_secs(), length.subsec_millis() * 1_000_000))
    }

    /// The time that comes this much later.
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.checked_add(wait).unwrap_or(self.0))
    }

    /// The time from `earlier` to this; zero if the clock was set back.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.duration_since(earlier.0).unwrap_or_default()
    }
}

impl TryFrom<String> for Moment {
    type Error = humantime::TimestampError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        humantime::parse_rfc3339(&text).map(Self::of)
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis(self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d1_moment_is_equal_after_it_was_written_and_read() {
        let of = |text: &str| Moment::try_from(text.to_owned()).expect("RFC 3339");
        for moment in [Moment::now(), of("2026-01-01T00:00:00.123456789Z"), of("1970-01-01T00:00:00Z")] {
            assert_eq!(of(&moment.to_string()), moment, "{moment}");
        }
    }
}

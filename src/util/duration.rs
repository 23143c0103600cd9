//! The parser of durations such as `90s` or `1h 30m`, for settings, script headers and options. Pure.

use std::time::Duration;

/// The longest accepted duration, 366 days. Nothing here needs a longer one, and the sum with the present time must not overflow.
const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);

/// Why a text is not accepted. Each caller has its own message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DurationFault {
    /// The text is not a duration.
    Malformed,
    /// The duration is longer than 366 days.
    TooLong,
}

/// Parses a duration of at most 366 days. Zero is accepted.
pub(crate) fn parse(text: &str) -> Result<Duration, DurationFault> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= MAX_DURATION => Ok(duration),
        Ok(_) => Err(DurationFault::TooLong),
        Err(_) => Err(DurationFault::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_has_a_unit_and_an_upper_limit() {
        for (text, expected) in [
            ("0s", Ok(Duration::ZERO)),
            ("1h 30m", Ok(Duration::from_secs(5400))),
            ("366days", Ok(MAX_DURATION)),
            ("366days 1ns", Err(DurationFault::TooLong)),
            ("550000000000y", Err(DurationFault::TooLong)),
            ("99999999999999999999y", Err(DurationFault::Malformed)),
            ("10", Err(DurationFault::Malformed)),
            ("soon", Err(DurationFault::Malformed)),
            ("", Err(DurationFault::Malformed)),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}

//! How long to wait between two checks that succeed (invariants H4, T5). Pure: random numbers are arguments.
//!
//! Failures other than "too many requests" are the business of [`crate::metadata::retry::backoff`].

use std::time::Duration;

use crate::metadata::retry::backoff::MAX_WAIT;

/// The shortest wait, as a share of the longest: with the default setting, 40 to 55 seconds.
const SHORTEST: f64 = 40.0 / 55.0;
/// When the service says that there are too many requests, the wait is doubled up to this length.
const SLOWEST: Duration = Duration::from_secs(15 * 60);

/// The state of a sequence of checks. Each wait is drawn at random from a range.
#[derive(Debug, Default)]
pub struct Pace {
    /// How many times in a row the service answered that there are too many requests.
    refusals: u32,
    /// Whether the last check succeeded, too.
    is_steady: bool,
}

impl Pace {
    /// How long to wait after a check that succeeded; `longest` at most.
    ///
    /// The first wait after a start or a failure may have any length. Otherwise the checks of machines that were started together, or
    /// that waited for the same service, would come together, too.
    pub fn after_success(&mut self, longest: Duration, random: &mut fastrand::Rng) -> Duration {
        self.refusals = 0;
        let wait = draw(longest, random);
        if std::mem::replace(&mut self.is_steady, true) { wait } else { wait.mul_f64(random.f64()) }
    }

    /// How long to wait after the service answered that there are too many requests: twice as long as the last time. A wait that the
    /// service asked for comes first.
    pub fn after_refusal(
        &mut self,
        longest: Duration,
        requested: Option<Duration>,
        random: &mut fastrand::Rng,
    ) -> Duration {
        self.refusals = self.refusals.saturating_add(1);
        let slowest = SLOWEST.max(longest);
        let doubled = longest.saturating_mul(2_u32.saturating_pow(self.refusals)).min(slowest);
        let asked = requested.unwrap_or_default().min(MAX_WAIT);
        draw(doubled, random).max(asked + draw(longest, random).mul_f64(random.f64()))
    }

    /// Notes a check that failed in another way.
    pub fn note_failure(&mut self) {
        self.is_steady = false;
    }
}

fn draw(longest: Duration, random: &mut fastrand::Rng) -> Duration {
    longest.mul_f64(SHORTEST + (1.0 - SHORTEST) * random.f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(55);

    #[test]
    fn h4_checks_are_40_to_55_s_apart_at_random() {
        let (mut pace, mut random) = (Pace::default(), fastrand::Rng::with_seed(1));
        assert!(pace.after_success(LONGEST, &mut random) <= LONGEST);
        let waits: Vec<_> =
            (0..1000).map(|_| pace.after_success(LONGEST, &mut random).as_secs_f64()).collect();
        assert!(waits.iter().all(|wait| (40.0..=55.0).contains(wait)));
        let (least, most) =
            waits.iter().fold((f64::MAX, f64::MIN), |(least, most), wait| (wait.min(least), wait.max(most)));
        assert!(least < 40.5 && most > 54.5, "{least} to {most}");
    }

    #[test]
    fn t5_refused_checks_slow_down_to_15_minutes() {
        let (mut pace, mut random) = (Pace::default(), fastrand::Rng::with_seed(1));
        pace.after_success(LONGEST, &mut random);
        let waits: Vec<_> =
            (0..20).map(|_| pace.after_refusal(LONGEST, None, &mut random).as_secs()).collect();
        for (at, (least, most)) in [(80, 110), (160, 220), (320, 440), (640, 880)].into_iter().enumerate() {
            assert!((least..=most).contains(&waits[at]), "{waits:?}");
        }
        assert!(waits[5..].iter().all(|wait| (654..=900).contains(wait)), "{waits:?}");
        assert!(pace.after_success(LONGEST, &mut random) <= LONGEST, "one success ends it");
        for (asked, least, most) in [(0, 80, 110), (300, 300, 355), (u64::MAX, 3600, 3655)] {
            let mut pace = Pace::default();
            let wait = pace.after_refusal(LONGEST, Some(Duration::from_secs(asked)), &mut random).as_secs();
            assert!((least..=most).contains(&wait), "{asked}: {wait}");
        }
        // An administrator may want checks even further apart.
        let day = Duration::from_secs(86_400);
        assert!(pace.after_refusal(day, None, &mut random) <= day * 2);
    }
}

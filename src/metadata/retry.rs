//! When to ask again after a failure (law T5). Pure: time and chance come in as arguments.

use std::time::Duration;

/// The first wait. Short, since at boot the route is often just a moment away.
const FIRST: Duration = Duration::from_millis(250);
/// The longest wait between two tries while nothing else happens.
const LONGEST: Duration = Duration::from_secs(3600);

/// Waits that double, each drawn from the upper half of its length.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait after one more failure. A wait that the service itself asked for is a lower bound.
    pub fn after_failure(&mut self, asked_for: Option<Duration>, random: &mut fastrand::Rng) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.failures.min(20)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let drawn = whole.mul_f64(0.5 + random.f64() / 2.0);
        match asked_for {
            // Everybody was told the same time: spread out after it, never before.
            Some(asked) => asked.min(LONGEST) + drawn.min(Duration::from_secs(30)),
            None => drawn,
        }
    }

    /// A success: the next failure starts anew.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t5_waits_grow_to_an_hour_and_start_anew_after_a_success() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..100).map(|_| backoff.after_failure(None, &mut random)).collect();
        assert!(waits[0] <= FIRST && waits[0] >= FIRST / 2);
        assert!(waits[3] <= FIRST * 8 && waits[3] >= FIRST * 4);
        assert!(waits[30..].iter().all(|wait| *wait <= LONGEST && *wait >= LONGEST / 2));
        backoff.reset();
        assert!(backoff.after_failure(None, &mut random) <= FIRST);
    }

    #[test]
    fn t5_a_wait_that_the_service_asked_for_is_kept_and_spread() {
        let mut random = fastrand::Rng::with_seed(1);
        let asked = Duration::from_secs(60);
        let wait = Backoff::default().after_failure(Some(asked), &mut random);
        assert!(wait > asked && wait < asked * 2, "{wait:?}");
        let absurd = Backoff::default().after_failure(Some(Duration::MAX), &mut random);
        assert!(absurd <= LONGEST * 2, "{absurd:?}");
    }
}

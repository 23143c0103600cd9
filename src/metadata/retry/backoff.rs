//! How long to wait before a request is repeated (invariant T5). Pure: times and random numbers are arguments.
//!
//! It has two users. The daemon never gives up, and its waits grow. The commands try for a few seconds only.

use std::time::Duration;

use crate::metadata::error::{ErrorKind, MetadataError, TransportError};

/// Each wait is longer than the previous one by this factor. After an outage, every client has succeeded again within half the
/// length of the outage.
const GROWTH: f64 = 1.5;
/// The longest wait between two tries. Another event can end a wait early.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(3600);
/// When the service asks all clients to wait for the same time, each adds a random wait of at most this length.
const MAX_SPREAD: Duration = Duration::from_secs(30);

/// The properties of a failure that decide about the retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The cause.
    pub cause: Cause,
    /// The wait that the service asked for.
    pub requested_wait: Option<Duration>,
}

/// The cause of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is no connection to the service: no route, refused, or timed out. A try costs nothing, and at boot the network often comes up
    /// within moments.
    NotConnected,
    /// The service is overloaded or failing (no response in time, connection lost, 429, 5xx). An early retry makes this worse.
    Busy,
    /// The failure lasts until its cause is fixed.
    Lasting,
}

impl Cause {
    /// The shortest and the longest first wait.
    fn first_wait(self) -> (Duration, Duration) {
        let milliseconds = Duration::from_millis;
        match self {
            Self::NotConnected => (milliseconds(125), milliseconds(250)),
            Self::Busy => (milliseconds(250), milliseconds(4_000)),
            Self::Lasting => (milliseconds(30_000), milliseconds(60_000)),
        }
    }
}

impl Failure {
    /// The failure that an error means.
    pub fn of(why: &MetadataError) -> Self {
        let cause = match why {
            MetadataError::Refused(refusal) if refusal.is_temporary() => Cause::Busy,
            MetadataError::Transport(TransportError::NotConnected(_))
                if why.kind() == ErrorKind::Unreachable =>
            {
                Cause::NotConnected
            }
            MetadataError::Transport(_) if why.kind() == ErrorKind::Unreachable => Cause::Busy,
            _ => Cause::Lasting,
        };
        Self { cause, requested_wait: why.retry_after() }
    }
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryDecision {
    /// Try again after this time.
    Wait(Duration),
    /// Do not try again; return the error to the caller.
    GiveUp,
}

/// How often and how long a request is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// For the daemon: until a try succeeds.
    Unlimited,
    /// For a command: a limited number of tries, a limited total wait, and only temporary failures.
    Limited {
        /// The number of tries, the first one included.
        tries: u32,
        /// The limit for all waits together.
        max_wait: Duration,
    },
}

impl Budget {
    /// For a command: a person waits for it.
    pub const COMMAND: Self = Self::Limited { tries: 3, max_wait: Duration::from_secs(5) };
}

/// The state of a sequence of retries. Its waits grow, and each is drawn at random from a range.
#[derive(Debug)]
pub struct Retry {
    budget: Budget,
    failures: u32,
    waited: Duration,
}

impl Retry {
    /// No failures so far, and this budget.
    pub fn new(budget: Budget) -> Self {
        Self { budget, failures: 0, waited: Duration::ZERO }
    }

    /// What to do after one more failure.
    pub fn decide(&mut self, failure: Failure, random: &mut fastrand::Rng) -> RetryDecision {
        let (first_min, first_max) = failure.cause.first_wait();
        let growth = GROWTH.powi(i32::try_from(self.failures.min(60)).unwrap_or_default());
        let max = first_max.mul_f64(growth).min(MAX_WAIT);
        // Min and max keep their ratio also when max is at its limit: so the longest waits of the clients differ, too.
        let min = max.mul_f64(first_min.as_secs_f64() / first_max.as_secs_f64());
        let drawn = min + (max - min).mul_f64(random.f64());
        self.failures = self.failures.saturating_add(1);
        let wait = match failure.requested_wait {
            // The random wait comes after the time that the service asked for: never earlier.
            Some(asked) => asked.min(MAX_WAIT) + drawn.min(MAX_SPREAD),
            None => drawn,
        };
        self.waited = self.waited.saturating_add(wait);
        match self.budget {
            Budget::Limited { tries, max_wait }
                if failure.cause == Cause::Lasting || self.failures >= tries || self.waited > max_wait =>
            {
                RetryDecision::GiveUp
            }
            _ => RetryDecision::Wait(wait),
        }
    }

    /// Forgets the failures so far, after a success.
    pub fn reset(&mut self) {
        *self = Self::new(self.budget);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::api::refusal::Refusal;

    const ALL: [Cause; 3] = [Cause::NotConnected, Cause::Busy, Cause::Lasting];

    fn failure(cause: Cause) -> Failure {
        Failure { cause, requested_wait: None }
    }

    fn waits(failure: Failure, seed: u64) -> Vec<Duration> {
        let (mut retry, mut random) = (Retry::new(Budget::Unlimited), fastrand::Rng::with_seed(seed));
        let wait = |_| match retry.decide(failure, &mut random) {
            RetryDecision::Wait(wait) => wait,
            RetryDecision::GiveUp => Duration::MAX,
        };
        (0..100).map(wait).collect()
    }

    #[test]
    fn t5_waits_grow_to_an_hour_and_a_success_resets_them() {
        for cause in ALL {
            let (first_min, first_max) = cause.first_wait();
            for seed in 0..20 {
                let waits = waits(failure(cause), seed);
                assert!((first_min..=first_max).contains(&waits[0]), "{cause:?}: {:?}", waits[0]);
                assert!(waits[5] <= first_max.mul_f64(GROWTH.powi(5)), "{cause:?}: {:?}", waits[5]);
                assert!(waits.iter().all(|wait| *wait <= MAX_WAIT));
                assert!(
                    waits[60..].iter().sum::<Duration>() > MAX_WAIT * 15,
                    "in the end, the waits are about an hour"
                );
            }
            let (mut retry, mut random) = (Retry::new(Budget::Unlimited), fastrand::Rng::with_seed(1));
            for _ in 0..20 {
                retry.decide(failure(cause), &mut random);
            }
            retry.reset();
            let next = retry.decide(failure(cause), &mut random);
            assert!(matches!(next, RetryDecision::Wait(wait) if wait <= first_max));
        }
    }

    #[test]
    fn t5_requested_wait_is_kept_and_spread() {
        for (asked, min, max) in [(60, 60, 64), (0, 0, 4), (u64::MAX, 3600, 3604)] {
            let failure = Failure { cause: Cause::Busy, requested_wait: Some(Duration::from_secs(asked)) };
            let wait = waits(failure, 1)[0];
            assert!(
                wait >= Duration::from_secs(min) && wait <= Duration::from_secs(max),
                "{asked}: {wait:?}"
            );
        }
    }

    #[test]
    fn t5_command_budget_is_bounded() {
        let asked =
            |seconds| Failure { cause: Cause::Busy, requested_wait: Some(Duration::from_secs(seconds)) };
        for (failure, max_tries) in
            [(failure(Cause::NotConnected), 3), (failure(Cause::Lasting), 1), (asked(60), 1), (asked(4), 2)]
        {
            for seed in 0..20 {
                let (mut retry, mut random) = (Retry::new(Budget::COMMAND), fastrand::Rng::with_seed(seed));
                let (mut tried, mut waited) = (1, Duration::ZERO);
                while let RetryDecision::Wait(wait) = retry.decide(failure, &mut random) {
                    (tried, waited) = (tried + 1, waited + wait);
                }
                assert!(tried <= max_tries, "{failure:?}: {tried}");
                assert!(waited <= Duration::from_secs(5), "{failure:?}: {waited:?}");
            }
        }
    }

    #[test]
    fn t5_temporary_failures_differ_from_lasting_ones() {
        let after = Some(Duration::from_secs(7));
        for (why, cause, requested_wait) in [
            (MetadataError::Refused(Refusal::TooManyRequests(after)), Cause::Busy, after),
            (MetadataError::Refused(Refusal::ServerError(503, None)), Cause::Busy, None),
            (MetadataError::Refused(Refusal::SourcePort(403)), Cause::Lasting, None),
            (MetadataError::Refused(Refusal::Unexpected(302)), Cause::Lasting, None),
            (MetadataError::Refused(Refusal::Malformed("no JSON".to_owned())), Cause::Lasting, None),
            (MetadataError::Transport(TransportError::NotConnected(vec![])), Cause::NotConnected, None),
            (
                MetadataError::Transport(TransportError::ConnectionLost("closed".to_owned())),
                Cause::Busy,
                None,
            ),
            (MetadataError::Transport(TransportError::TooLarge(1)), Cause::Lasting, None),
        ] {
            assert_eq!(Failure::of(&why), Failure { cause, requested_wait }, "{why}");
        }
    }
}

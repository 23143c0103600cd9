//! When to ask again after a failure (law T5). Pure: time and chance come in as arguments.
//!
//! Two users: the daemon, which never gives up and gets ever slower, and the commands, which try for a few seconds only.

use std::time::Duration;

use crate::metadata::error::{ErrorKind, MetadataError, TransportError};

/// Each wait is so much longer than the one before: an outage is over for everybody half its length after its end.
const GROWTH: f64 = 1.5;
/// The longest wait between two tries while nothing else happens.
const LONGEST: Duration = Duration::from_secs(3600);
/// Everybody was told the same time to wait: they spread out over at most this behind it.
const SPREAD: Duration = Duration::from_secs(30);

/// A failure, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What lies behind it.
    pub cause: Cause,
    /// How long the service asked us to wait.
    pub asked_for: Option<Duration>,
}

/// What lies behind a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is no way to the service (yet): a try costs nobody anything, and at boot the route is often just a moment away.
    NoWay,
    /// The service is there, and does not manage (no answer in time, cut off, 429, 5xx): asking soon makes it worse.
    Busy,
    /// It will be so until somebody does something about it.
    Lasting,
}

impl Cause {
    /// The first wait, from and to.
    fn first(self) -> (Duration, Duration) {
        let milliseconds = Duration::from_millis;
        match self {
            Self::NoWay => (milliseconds(125), milliseconds(250)),
            Self::Busy => (milliseconds(250), milliseconds(4_000)),
            Self::Lasting => (milliseconds(30_000), milliseconds(60_000)),
        }
    }
}

impl Failure {
    /// Judges an error.
    pub fn of(why: &MetadataError) -> Self {
        let cause = match why {
            MetadataError::Refused(refusal) if refusal.may_pass() => Cause::Busy,
            MetadataError::Transport(TransportError::NotConnected(_))
                if why.kind() == ErrorKind::Unreachable =>
            {
                Cause::NoWay
            }
            MetadataError::Transport(_) if why.kind() == ErrorKind::Unreachable => Cause::Busy,
            _ => Cause::Lasting,
        };
        Self { cause, asked_for: why.retry_after() }
    }
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again after this time.
    After(Duration),
    /// Let it be, and tell whoever asked.
    GiveUp,
}

/// How much may be spent on trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// A daemon's: until it works.
    Unlimited,
    /// A command's: so many tries, and no wait beyond so much time in all; and only for what may pass.
    Limited {
        /// The first one included.
        tries: u32,
        /// All waits together.
        waiting: Duration,
    },
}

impl Budget {
    /// A command's: somebody waits for it.
    pub const COMMAND: Self = Self::Limited { tries: 3, waiting: Duration::from_secs(5) };
}

/// Waits that grow, each drawn from a range.
#[derive(Debug)]
pub struct Retry {
    budget: Budget,
    failures: u32,
    waited: Duration,
}

impl Retry {
    /// A fresh start with this budget.
    pub fn new(budget: Budget) -> Self {
        Self { budget, failures: 0, waited: Duration::ZERO }
    }

    /// What to do after one more failure.
    pub fn after(&mut self, failure: Failure, random: &mut fastrand::Rng) -> Next {
        let (from, to) = failure.cause.first();
        let growth = GROWTH.powi(i32::try_from(self.failures.min(60)).unwrap_or_default());
        let most = to.mul_f64(growth).min(LONGEST);
        // The range keeps its proportions at the upper end, so that the longest waits differ, too.
        let least = most.mul_f64(from.as_secs_f64() / to.as_secs_f64());
        let drawn = least + (most - least).mul_f64(random.f64());
        self.failures = self.failures.saturating_add(1);
        let wait = match failure.asked_for {
            // Spread out after the time that was asked for, never before it.
            Some(asked) => asked.min(LONGEST) + drawn.min(SPREAD),
            None => drawn,
        };
        self.waited = self.waited.saturating_add(wait);
        match self.budget {
            Budget::Limited { tries, waiting }
                if failure.cause == Cause::Lasting || self.failures >= tries || self.waited > waiting =>
            {
                Next::GiveUp
            }
            _ => Next::After(wait),
        }
    }

    /// A success: the next failure starts anew.
    pub fn reset(&mut self) {
        *self = Self::new(self.budget);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::api::refusal::Refusal;

    const ALL: [Cause; 3] = [Cause::NoWay, Cause::Busy, Cause::Lasting];

    fn failure(cause: Cause) -> Failure {
        Failure { cause, asked_for: None }
    }

    fn waits(failure: Failure, seed: u64) -> Vec<Duration> {
        let (mut retry, mut random) = (Retry::new(Budget::Unlimited), fastrand::Rng::with_seed(seed));
        let wait = |_| match retry.after(failure, &mut random) {
            Next::After(wait) => wait,
            Next::GiveUp => Duration::MAX,
        };
        (0..100).map(wait).collect()
    }

    #[test]
    fn t5_waits_grow_to_an_hour_and_start_anew_after_a_success() {
        for cause in ALL {
            let (from, to) = cause.first();
            for seed in 0..20 {
                let waits = waits(failure(cause), seed);
                assert!((from..=to).contains(&waits[0]), "{cause:?}: {:?}", waits[0]);
                assert!(waits[5] <= to.mul_f64(GROWTH.powi(5)), "{cause:?}: {:?}", waits[5]);
                assert!(waits.iter().all(|wait| *wait <= LONGEST));
                assert!(
                    waits[60..].iter().sum::<Duration>() > LONGEST * 15,
                    "an hour apart or so, in the end"
                );
            }
            let (mut retry, mut random) = (Retry::new(Budget::Unlimited), fastrand::Rng::with_seed(1));
            for _ in 0..20 {
                retry.after(failure(cause), &mut random);
            }
            retry.reset();
            assert!(matches!(retry.after(failure(cause), &mut random), Next::After(wait) if wait <= to));
        }
    }

    #[test]
    fn t5_a_wait_that_the_service_asked_for_is_kept_and_spread() {
        for (asked, least, most) in [(60, 60, 64), (0, 0, 4), (u64::MAX, 3600, 3604)] {
            let failure = Failure { cause: Cause::Busy, asked_for: Some(Duration::from_secs(asked)) };
            let wait = waits(failure, 1)[0];
            assert!(
                wait >= Duration::from_secs(least) && wait <= Duration::from_secs(most),
                "{asked}: {wait:?}"
            );
        }
    }

    #[test]
    fn t5_a_command_gives_up_when_its_tries_or_its_time_are_spent_or_the_failure_lasts() {
        let asked = |seconds| Failure { cause: Cause::Busy, asked_for: Some(Duration::from_secs(seconds)) };
        for (failure, most) in
            [(failure(Cause::NoWay), 3), (failure(Cause::Lasting), 1), (asked(60), 1), (asked(4), 2)]
        {
            for seed in 0..20 {
                let (mut retry, mut random) = (Retry::new(Budget::COMMAND), fastrand::Rng::with_seed(seed));
                let (mut tried, mut waited) = (1, Duration::ZERO);
                while let Next::After(wait) = retry.after(failure, &mut random) {
                    (tried, waited) = (tried + 1, waited + wait);
                }
                assert!(tried <= most, "{failure:?}: {tried}");
                assert!(waited <= Duration::from_secs(5), "{failure:?}: {waited:?}");
            }
        }
    }

    #[test]
    fn t5_what_may_pass_is_told_from_what_lasts() {
        let after = Some(Duration::from_secs(7));
        for (why, cause, asked_for) in [
            (MetadataError::Refused(Refusal::TooManyRequests(after)), Cause::Busy, after),
            (MetadataError::Refused(Refusal::ServerError(503, None)), Cause::Busy, None),
            (MetadataError::Refused(Refusal::SourcePort(403)), Cause::Lasting, None),
            (MetadataError::Refused(Refusal::Unexpected(302)), Cause::Lasting, None),
            (MetadataError::Refused(Refusal::Malformed("no JSON".to_owned())), Cause::Lasting, None),
            (MetadataError::Transport(TransportError::NotConnected(vec![])), Cause::NoWay, None),
            (MetadataError::Transport(TransportError::Cut("closed".to_owned())), Cause::Busy, None),
            (MetadataError::Transport(TransportError::TooLarge(1)), Cause::Lasting, None),
        ] {
            assert_eq!(Failure::of(&why), Failure { cause, asked_for }, "{why}");
        }
    }
}

//! Decides when the daemon repeats work that is not done yet: at once, and then with growing pauses (invariant T5).

use std::time::Duration;

use tokio::time::Instant;

use crate::metadata::retry::backoff::{Budget, Cause, Failure, Retry, RetryDecision};
use crate::util::random;

/// The turns of one kind of work.
#[derive(Debug)]
pub(crate) struct Repetition {
    retry: Retry,
    /// When the next turn is due.
    due: Instant,
}

impl Default for Repetition {
    fn default() -> Self {
        Self { retry: Retry::new(Budget::Unlimited), due: Instant::now() }
    }
}

impl Repetition {
    /// Whether a turn is due.
    pub(crate) fn is_due(&self) -> bool {
        self.due <= Instant::now()
    }

    /// Notes a turn that ended so. The next one is due after a longer pause than the last, and when the service wants a request again.
    pub(crate) fn note(&mut self, failure: Failure) {
        if let RetryDecision::Wait(wait) = self.retry.decide(failure, &mut random::generator()) {
            self.due = Instant::now() + wait;
        }
    }

    /// Notes a turn whose result is not known yet.
    pub(crate) fn note_sent(&mut self) {
        self.note(Failure { cause: Cause::Lasting, requested_wait: None });
    }

    /// The time until the next turn.
    pub(crate) fn wait(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }

    /// Makes a turn due now and the pauses short again: something changed, so the work may succeed.
    pub(crate) fn restart(&mut self) {
        self.retry.reset();
        self.due = Instant::now();
    }
}

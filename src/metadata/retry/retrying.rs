//! Repeats a request for a few seconds, for commands (invariant T5).
//!
//! Too many requests (429) and server errors (5xx) are often temporary.

use tokio::time::sleep;

use crate::metadata::api::request::Request;
use crate::metadata::api::response::{Ask, Response};
use crate::metadata::error::{MetadataError, TransportError};
use crate::metadata::retry::backoff::{Budget, Cause, Failure, Retry, RetryDecision};
use crate::util::random;

/// Sends requests through `A` and repeats those that got a temporary refusal.
///
/// Transport errors are not retried here. `A` has already tried both families, and the caller wants to know at once that the
/// service cannot be reached.
pub(crate) struct Retrying<A> {
    inner: A,
    budget: Budget,
}

impl<A> Retrying<A> {
    /// Sends requests through `inner`. The budget is for each request.
    pub(crate) fn new(inner: A, budget: Budget) -> Self {
        Self { inner, budget }
    }

    /// The inner value.
    pub(crate) fn into_inner(self) -> A {
        self.inner
    }
}

impl<A: Ask> Ask for Retrying<A> {
    async fn ask(&mut self, request: Request) -> Result<Response, TransportError> {
        let mut retry = Retry::new(self.budget);
        loop {
            let answer = self.inner.ask(request.clone()).await?;
            let Some(failure) = temporary_failure(&answer) else { return Ok(answer) };
            match retry.decide(failure, &mut random::generator()) {
                RetryDecision::Wait(wait) => sleep(wait).await,
                RetryDecision::GiveUp => return Ok(answer),
            }
        }
    }
}

/// The failure that the response means, if it is temporary.
fn temporary_failure(answer: &Response) -> Option<Failure> {
    let is_failure = answer.status == 429 || answer.status >= 500;
    is_failure
        .then(|| Failure::of(&MetadataError::Refused(answer.refusal())))
        .filter(|failure| failure.cause == Cause::Busy)
}

//! Asking again for a few seconds, for commands: a service that says "too many" or fails in passing is often well a moment later (law T5).

use tokio::time::sleep;

use crate::metadata::api::request::Request;
use crate::metadata::api::response::{Ask, Response};
use crate::metadata::error::{MetadataError, TransportError};
use crate::metadata::retry::backoff::{Budget, Cause, Failure, Next, Retry};
use crate::util::random;

/// Asks through `A`, and again where the answer may pass. Only answers are met so: a service that cannot be reached was tried over
/// both families already, and whoever waits for it wants to know.
pub(crate) struct Retrying<A> {
    inner: A,
    budget: Budget,
}

impl<A> Retrying<A> {
    /// Asks through `inner`, within the budget for each request.
    pub(crate) fn new(inner: A, budget: Budget) -> Self {
        Self { inner, budget }
    }

    /// Gives back what it asks through.
    pub(crate) fn into_inner(self) -> A {
        self.inner
    }
}

impl<A: Ask> Ask for Retrying<A> {
    async fn ask(&mut self, request: Request) -> Result<Response, TransportError> {
        let mut retry = Retry::new(self.budget);
        loop {
            let answer = self.inner.ask(request.clone()).await?;
            let Some(failure) = busy(&answer) else { return Ok(answer) };
            match retry.after(failure, &mut random::generator()) {
                Next::After(wait) => sleep(wait).await,
                Next::GiveUp => return Ok(answer),
            }
        }
    }
}

/// The failure that an answer stands for, where it is one that may pass.
fn busy(answer: &Response) -> Option<Failure> {
    let failing = answer.status == 429 || answer.status >= 500;
    failing
        .then(|| Failure::of(&MetadataError::Refused(answer.refusal())))
        .filter(|failure| failure.cause == Cause::Busy)
}

//! When to repeat a request after a failure (invariant T5).
//!
//! | module | what it does |
//! |---|---|
//! | `backoff` | how long to wait (pure) |
//! | `pace` | how long to wait between checks that succeed (pure) |
//! | `retrying` | repeats a request for a few seconds, for commands |

pub(crate) mod backoff;
pub(crate) mod pace;
pub(crate) mod retrying;

pub use backoff::{Budget, Cause, Failure, Retry, RetryDecision};
pub use pace::Pace;

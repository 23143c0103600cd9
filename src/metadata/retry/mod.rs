//! When to ask again after a failure (invariant T5).
//!
//! | module | what it does |
//! |---|---|
//! | `backoff` | how long to wait (pure) |
//! | `retrying` | asks again for a few seconds, for commands |

pub(crate) mod backoff;
pub(crate) mod retrying;

pub use backoff::{Budget, Cause, Failure, Next, Retry};

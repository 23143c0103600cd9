//! Faults on order: the orders, the requests to which they apply, and their effect on the bytes of an answer.

mod book;
mod fault;
mod order;
mod pattern;
mod wire;

pub(crate) use book::{Book, Seen, Verdict};
pub use fault::{Fault, RetryAfter};
pub(crate) use order::check_all;
pub use order::{Order, OrderError};
pub use pattern::{Family, Nth, PathPattern};
pub(crate) use wire::{Body, End, Wire, replacement};

//! HTTP/1 without a library: reading requests, and answers before faults change them.

mod answer;
mod read;

pub(crate) use answer::{Answer, reason};
pub(crate) use read::{Incoming, Received, Receiver};

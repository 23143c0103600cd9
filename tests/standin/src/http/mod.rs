//! HTTP/1 by hand: reading requests, and answers before faults touch them.

mod answer;
mod read;

pub(crate) use answer::{Answer, reason};
pub(crate) use read::{Incoming, Received, Receiver};

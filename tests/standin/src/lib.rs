//! The stand-in for the platform's Metadata API: a small HTTP server that answers like the platform, records all requests, and makes
//! faults on order. It is for tests only and must not be shipped.

mod api;
mod control;
mod faults;
mod http;
mod options;
mod server;
mod standin;
mod switchboard;

pub use faults::{Family, Fault, Nth, Order, OrderError, PathPattern, RetryAfter};
pub use options::{Dialect, EmptyValue, HighPort, Options, PatchStatus, fixture};
pub use server::{Closed, Connection, How, Request, Side};
pub use standin::{Standin, StartError};

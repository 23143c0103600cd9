//! The stand-in for the platform's Metadata API and its public API: a small HTTP server that
//! answers like the platform, records all requests, and makes faults on order. It is for tests
//! only and must not be shipped.

mod control;
mod faults;
mod http;
mod metadata_api;
mod options;
mod platform;
mod public_api;
mod server;
mod standin;
mod switchboard;

pub use faults::{Family, Fault, Nth, Order, OrderError, PathPattern, RetryAfter};
pub use options::{Dialect, EmptyValue, HighPort, Options, PatchStatus, PublicApi, fixture};
pub use platform::{OWNER_TOKEN, Rights};
pub use server::{Closed, Connection, How, Request, Side};
pub use standin::{Standin, StartError};

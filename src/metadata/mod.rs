//! The client of the Metadata API.
//!
//! [`Client`] sends a [`Request`] to the metadata service and returns a [`Response`] (a status, headers and bytes). [`Ask`] turns
//! the response into a typed answer: a value, a list of keys, the [`Instance`].
//!
//! | folder | what it does |
//! |---|---|
//! | `api` | the requests, and what their responses mean (pure) |
//! | `transport` | source port, connection, one bounded HTTP exchange |
//! | `retry` | when to repeat a request |
//! | `error`, `family` | the errors; IPv4 and IPv6 |
//!
//! This module must not decide what to do with an answer. It must not resolve a name, follow a redirect or use a proxy (invariant
//! T1). It reads no files other than the system's port tables.

pub(crate) mod api;
pub(crate) mod error;
pub(crate) mod family;
pub mod retry;
pub(crate) mod transport;

pub use api::instance::{Instance, InstanceId};
pub use api::refusal::Refusal;
pub use api::request::{Format, Request, RequestError};
pub use api::response::{Ask, Response};
pub use api::user_data_key::{KeyError, UserDataKey};
pub use error::{ConnectError, ErrorKind, MetadataError, Step, TransportError};
pub use family::Family;
pub use transport::client::Client;
pub use transport::connection::Connection;
pub use transport::exchange::Limits;

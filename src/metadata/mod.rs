//! The client of the Metadata API.
//!
//! A [`Request`] goes through [`Client`] to the service and comes back as a [`Response`] (a status and bytes); [`Ask`] makes a typed
//! answer of it: a value, a list of keys, the [`Instance`].
//!
//! | folder | what it does |
//! |---|---|
//! | `api` | what can be asked, and what an answer means (pure) |
//! | `transport` | source port, connection, one bounded HTTP exchange |
//! | `retry` | when to ask again |
//! | `error`, `family` | what can go wrong; IPv4 and IPv6 |
//!
//! It must not decide what to do with an answer, touch a file other than the system's port tables, resolve a name, follow a redirect or use
//! a proxy (invariant T1).

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

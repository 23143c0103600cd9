//! The Metadata API as this machine's client knows it.
//!
//! The way of the data: a [`Request`] (what is asked) goes through [`Client`] (which connects by [`connect`], from a
//! port that [`source_port`] chose) and comes back as a [`Response`] (a status and bytes), of which [`Ask`] makes
//! a typed answer: a value, a list of keys, the [`Instance`].
//!
//! Nothing here may decide what to do with an answer, touch a file other than the system's port tables, resolve
//! a name, follow a redirect or honour a proxy (law T1).

mod answer;
mod client;
mod connect;
mod connection;
mod error;
pub(crate) mod exchange;
mod family;
mod instance;
mod key;
mod persistent;
mod refusal;
mod request;
pub mod retry;
pub mod source_port;

pub use answer::{Ask, Response};
pub use client::Client;
pub use connect::source_address;
pub use connection::Connection;
pub use error::{ConnectError, ErrorKind, MetadataError, Step, TransportError};
pub use exchange::Limits;
pub use family::Family;
pub use instance::{Instance, InstanceId};
pub use key::{KeyError, UserDataKey};
pub use persistent::Persistent;
pub use refusal::Refusal;
pub use request::{Format, Request, RequestError};

//! The daemon's Unix socket. It speaks HTTP with the Metadata API's own paths, which the daemon relays with
//! their statuses, and `/status`.
//!
//! | module | what it does |
//! |---|---|
//! | `server` | the daemon's side |
//! | `peer` | which client connected, and what it may do |
//! | `connection_limits` | how many connections are served at once |
//! | `client` | the side of other programs |
//! | `metadata_access` | connects a command through the daemon, or to the service itself |
//!
//! Nothing here interprets an answer of the metadata service.

pub(crate) mod client;
pub(crate) mod connection_limits;
pub(crate) mod metadata_access;
pub(crate) mod peer;
pub(crate) mod server;

pub use peer::{Groups, Right};
pub use server::{Backend, serve_client};

/// The path of the daemon's socket.
pub const SOCKET: &str = "/run/scw-agent/api.sock";

/// The header that marks an answer as an error of the daemon itself and not of the service. Its value is the
/// name of an [`ErrorKind`](crate::metadata::error::ErrorKind); the body is the text for a person.
pub(crate) const ERROR_HEADER: &str = "scw-agent-error";

/// The query of `/status` for a document without a check of the published value.
pub(crate) const NO_CHECK: &str = "check=no";

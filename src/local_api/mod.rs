//! The daemon's Unix socket: HTTP with the Metadata API's own paths, relayed with their statuses, and `/status`.
//!
//! | module | what it does |
//! |---|---|
//! | `server` | the daemon's side |
//! | `peer` | who asks, and what they may do |
//! | `connection_limits` | how many connections are served at once |
//! | `client` | the side of other programs |
//! | `metadata_access` | for a command: through the daemon, or to the service itself |
//!
//! Nothing here knows what an answer means.

pub(crate) mod client;
pub(crate) mod connection_limits;
pub(crate) mod metadata_access;
pub(crate) mod peer;
pub(crate) mod server;

pub use peer::{Groups, Right};
pub use server::{Backend, serve_client};

/// Where the daemon listens.
pub const SOCKET: &str = "/run/scw-agent/api.sock";

/// The header that marks an answer as the daemon's own error and not the service's; its value is the name of an
/// [`ErrorKind`](crate::metadata::error::ErrorKind), the body the text for a person.
pub(crate) const ERROR_HEADER: &str = "scw-agent-error";

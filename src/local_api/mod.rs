//! The daemon's Unix socket: HTTP with the Metadata API's own paths, passed through with their statuses, and `/status`.
//!
//! [`server`] is the daemon's side, [`client`] the other programs', and [`access`] chooses for them: the daemon where there
//! is one, the API itself where there is none; [`peer`] says who may ask, [`places`] how many at once. Nothing here knows what an answer means.

mod access;
mod client;
mod peer;
mod places;
mod server;

pub use access::Access;
pub use client::SocketClient;
pub use peer::{Groups, Right};
pub use server::{Backend, bind, open_to, serve, serve_client};

/// Where the daemon listens.
pub const SOCKET: &str = "/run/scw-agent/api.sock";

/// The header that marks an answer as the daemon's own error and not the service's; its value is an
/// [`ErrorKind`](crate::metadata::ErrorKind)'s word, the body the text for a person.
const ERROR_HEADER: &str = "scw-agent-error";

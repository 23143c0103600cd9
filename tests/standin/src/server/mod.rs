//! The server: listeners, connections, and the record of what happened.

mod connection;
mod listener;
mod record;
mod shared;
mod tls;

pub(crate) use listener::{Command, Listening, accept_loop, bind};
pub use record::{Closed, Connection, How, Request, Side};
pub(crate) use shared::Shared;
pub(crate) use tls::Tls;

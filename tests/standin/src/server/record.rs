//! The record of requests and connections, and its JSON form. It is plain data.

use std::net::SocketAddr;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::{Value, json};

/// A received request.
#[derive(Debug, Clone)]
pub struct Request {
    /// When it was completely received, since the server's start.
    pub at: Duration,
    /// The connection on which it was received; see [`Connection::id`].
    pub connection: u64,
    /// The client's address, with the source port.
    pub peer: SocketAddr,
    /// The server's address.
    pub local: SocketAddr,
    /// The method.
    pub method: String,
    /// The target as it was sent, without decoding.
    pub target: String,
    /// The headers, in their order in the request.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The status of the answer. `None` before the answer, and if a fault sends no status line.
    pub status: Option<u16>,
    /// The names of the faults made, joined by `+`.
    pub fault: Option<String>,
}

impl Request {
    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// A body that is not UTF-8 is percent-encoded instead.
    pub(crate) fn to_json(&self) -> Value {
        let text = std::str::from_utf8(&self.body).ok();
        let encoded = text.is_none().then(|| percent_encode(&self.body, NON_ALPHANUMERIC).to_string());
        json!({
            "at_ms": self.at.as_secs_f64() * 1e3,
            "connection": self.connection,
            "peer": self.peer.to_string(),
            "local": self.local.to_string(),
            "method": self.method,
            "target": self.target,
            "headers": self.headers,
            "body": text,
            "body_percent_encoded": encoded,
            "status": self.status,
            "fault": self.fault,
        })
    }
}

/// A connection that was accepted.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Its number, from 1 in the order of arrival.
    pub id: u64,
    /// When it was accepted, since the server's start.
    pub at: Duration,
    /// The client's address.
    pub peer: SocketAddr,
    /// The server's address.
    pub local: SocketAddr,
    /// The number of complete requests on it.
    pub requests: u64,
    /// Which side closed it first; `None` while it is open.
    pub closed: Option<Closed>,
    /// The fault made on connect.
    pub fault: Option<String>,
    /// The reason, if the client sent an incomplete or invalid request.
    pub error: Option<String>,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// When, since the server's start.
    pub at: Duration,
    /// Which side closed first.
    pub by: Side,
    /// The kind of segment that closed it.
    pub how: How,
}

/// One of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The side that connected.
    Client,
    /// The stand-in.
    Server,
}

/// The segment that closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// An orderly end.
    Fin,
    /// A reset.
    Rst,
}

impl Connection {
    pub(crate) fn to_json(&self) -> Value {
        let closed = self.closed.map(|closed| {
            json!({
                "at_ms": closed.at.as_secs_f64() * 1e3,
                "by": match closed.by { Side::Client => "client", Side::Server => "server" },
                "how": match closed.how { How::Fin => "fin", How::Rst => "rst" },
            })
        });
        json!({
            "id": self.id,
            "at_ms": self.at.as_secs_f64() * 1e3,
            "peer": self.peer.to_string(),
            "local": self.local.to_string(),
            "requests": self.requests,
            "closed": closed,
            "fault": self.fault,
            "error": self.error,
        })
    }
}

//! What is remembered of each request and each connection, and its JSON form. Plain data.

use std::net::SocketAddr;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::{Value, json};

/// A request, as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// When it had come whole, since the server's start.
    pub at: Duration,
    /// The connection that it came on, see [`Connection::id`].
    pub connection: u64,
    /// The client's address, with the source port.
    pub peer: SocketAddr,
    /// The server's address.
    pub local: SocketAddr,
    /// The method.
    pub method: String,
    /// The target as it was sent, not decoded.
    pub target: String,
    /// The headers in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The status sent; `None` while there is none, and for good if a fault sends no status line.
    pub status: Option<u16>,
    /// The names of the faults made, joined by `+`.
    pub fault: Option<String>,
}

impl Request {
    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// A body that is not UTF-8 is told percent-encoded instead.
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
    /// How many whole requests came on it.
    pub requests: u64,
    /// Who closed it first; `None` while nobody has.
    pub closed: Option<Closed>,
    /// The fault made on connect.
    pub fault: Option<String>,
    /// What the client sent that was not a whole, valid request.
    pub error: Option<String>,
}

/// How a connection came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// When, since the server's start.
    pub at: Duration,
    /// Who closed first.
    pub by: Side,
    /// By which kind of segment.
    pub how: How,
}

/// One of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that connected.
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

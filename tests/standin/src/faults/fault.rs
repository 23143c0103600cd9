//! The faults and their names. The module `wire` implements their effect on answers, `server` their effect on connections.

use std::fmt;

use serde::Deserialize;

/// A fault.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// On connect: the listener is closed while the order is in force. Open connections stay.
    Refuse,
    /// On connect: accepted, and never answered.
    AcceptSilent,
    /// On connect: accepted, then reset.
    AcceptReset,
    /// Closed without an answer; not carried out.
    Drop,
    /// Reset without an answer; not carried out.
    Reset,
    /// Never answered, left open; not carried out.
    Silent,
    /// Answered later.
    Delay {
        /// How much later, in milliseconds.
        ms: u64,
    },
    /// Closed in the middle of the answer's headers.
    CloseInHeaders,
    /// Closed when half of the answer's body is sent.
    CloseInBody,
    /// `Content-Length` is half of the body's length. Then the connection is closed.
    ShortLength,
    /// `Content-Length` is the body's length plus ten. Then the connection is closed.
    LongLength,
    /// A valid chunked answer, in chunks of at most 16 bytes.
    Chunked,
    /// The answer is announced as chunked, but the body is not chunked. Then the connection is closed.
    ChunkedGarbage,
    /// Bytes that are not HTTP. Then the connection is closed. The request is not carried out.
    Garbage,
    /// Another status; not carried out.
    Status {
        /// The status, 200 to 599.
        code: u16,
        /// The body; by default empty.
        #[serde(default)]
        body: String,
        /// The `Retry-After` header.
        retry_after: Option<RetryAfter>,
        /// The `Location` header.
        location: Option<String>,
    },
    /// 200 with a huge body of `x`; not carried out.
    Huge {
        /// The body's length.
        bytes: u64,
        /// Whether there is a `Content-Length`. Without one, the end of the connection ends the body.
        #[serde(default = "yes")]
        length: bool,
    },
    /// The normal answer with many additional headers.
    ManyHeaders {
        /// The number of additional headers.
        count: u32,
    },
    /// The normal answer with one huge additional header.
    HugeHeader {
        /// The length of its value.
        bytes: usize,
    },
    /// The normal answer with its headers, sent in small pieces.
    Slow {
        /// The number of bytes in each piece.
        bytes: usize,
        /// The time between two pieces, in milliseconds.
        ms: u64,
    },
    /// 200 with this content; not carried out.
    Body {
        /// The content.
        text: String,
    },
    /// The normal answer. Then the server closes the connection without `Connection: close`.
    CloseAfter,
    /// The normal answer with `Connection: close`, but the server waits until the client closes.
    CloseToClient,
    /// The normal answer with `Connection: close`, followed by bytes until the client closes.
    Endless,
    /// Carried out, then closed without an answer.
    ApplyThenDrop,
}

fn yes() -> bool {
    true
}

impl Fault {
    /// Whether the fault happens before a request is read.
    pub(super) fn is_on_connect(&self) -> bool {
        matches!(self, Fault::Refuse | Fault::AcceptSilent | Fault::AcceptReset)
    }

    /// The name in an order file.
    pub fn name(&self) -> &'static str {
        match self {
            Fault::Refuse => "refuse",
            Fault::AcceptSilent => "accept-silent",
            Fault::AcceptReset => "accept-reset",
            Fault::Drop => "drop",
            Fault::Reset => "reset",
            Fault::Silent => "silent",
            Fault::Delay { .. } => "delay",
            Fault::CloseInHeaders => "close-in-headers",
            Fault::CloseInBody => "close-in-body",
            Fault::ShortLength => "short-length",
            Fault::LongLength => "long-length",
            Fault::Chunked => "chunked",
            Fault::ChunkedGarbage => "chunked-garbage",
            Fault::Garbage => "garbage",
            Fault::Status { .. } => "status",
            Fault::Huge { .. } => "huge",
            Fault::ManyHeaders { .. } => "many-headers",
            Fault::HugeHeader { .. } => "huge-header",
            Fault::Slow { .. } => "slow",
            Fault::Body { .. } => "body",
            Fault::CloseAfter => "close-after",
            Fault::CloseToClient => "close-to-client",
            Fault::Endless => "endless",
            Fault::ApplyThenDrop => "apply-then-drop",
        }
    }

    /// A status without a body and without additional headers.
    pub fn status(code: u16) -> Fault {
        Fault::Status { code, body: String::new(), retry_after: None, location: None }
    }
}

/// The value of a `Retry-After` header.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum RetryAfter {
    /// Seconds from now.
    Seconds(u64),
    /// An HTTP date, or any other text, sent unchanged.
    Date(String),
}

impl fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RetryAfter::Seconds(seconds) => write!(f, "{seconds}"),
            RetryAfter::Date(date) => f.write_str(date),
        }
    }
}

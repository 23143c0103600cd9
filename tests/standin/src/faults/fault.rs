//! The faults and their names. What a fault does to an answer is told in `wire`, to a connection in `server`.

use std::fmt;

use serde::Deserialize;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// On connect: nobody listens while the order is in force. Open connections stay.
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
    /// `Content-Length` is half of the body's length; then closed.
    ShortLength,
    /// `Content-Length` is ten more than the body's length; then closed.
    LongLength,
    /// A valid chunked answer, in chunks of at most 16 bytes.
    Chunked,
    /// Announced as chunked, but with a body that is not; then closed.
    ChunkedGarbage,
    /// Bytes that are not HTTP at all; then closed. Not carried out.
    Garbage,
    /// Another status; not carried out.
    Status {
        /// The status, 200 to 599.
        code: u16,
        /// The body, empty when left out.
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
        /// Whether a `Content-Length` tells it; without one, the end of the connection does.
        #[serde(default = "yes")]
        length: bool,
    },
    /// The normal answer with many more headers.
    ManyHeaders {
        /// How many more.
        count: u32,
    },
    /// The normal answer with one huge header more.
    HugeHeader {
        /// The length of its value.
        bytes: usize,
    },
    /// The normal answer, headers included, in drips.
    Slow {
        /// How many bytes at a time.
        bytes: usize,
        /// The milliseconds between two drips.
        ms: u64,
    },
    /// 200 with other content, this time; not carried out.
    Body {
        /// The content.
        text: String,
    },
    /// The normal answer; then the server closes without having announced it.
    CloseAfter,
    /// The normal answer with `Connection: close`; but the server leaves closing to the client.
    CloseToClient,
    /// The normal answer with `Connection: close`; then bytes without end.
    Endless,
    /// Carried out, but closed without an answer.
    ApplyThenDrop,
}

fn yes() -> bool {
    true
}

impl Fault {
    /// Whether the fault comes before any request is read.
    pub(super) fn is_on_connect(&self) -> bool {
        matches!(self, Fault::Refuse | Fault::AcceptSilent | Fault::AcceptReset)
    }

    /// The name that the order file uses.
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

    /// A status with no body and no special header.
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
    /// An HTTP date, or anything else, sent as it is.
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

//! An answer as bytes, and how a fault changes them. This module must never use a socket, so that each fault can be checked byte by
//! byte.

use std::time::Duration;

use super::fault::Fault;
use crate::http::{Answer, Incoming, reason};

/// The bytes to send, the speed, and what happens to the connection afterwards.
#[derive(Debug)]
pub(crate) struct Wire {
    /// The status in the status line, if there is a status line.
    pub(crate) status: Option<u16>,
    pub(crate) head: Vec<u8>,
    pub(crate) body: Body,
    /// The size of each piece in bytes, and the pause between two pieces.
    pub(crate) pace: Option<(usize, Duration)>,
    pub(crate) end: End,
}

/// The bytes after the head.
#[derive(Debug)]
pub(crate) enum Body {
    Bytes(Vec<u8>),
    /// This number of `x`, generated during sending.
    Filler(u64),
}

/// What happens to the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The server waits for the next request.
    KeepOpen,
    /// The server closes it.
    Close,
    /// The server reads no further request, and waits until the client closes.
    LeaveToClient,
    /// The server sends bytes until the client closes.
    Endless,
}

/// How the answer marks the end of the body.
enum Framing {
    Nothing,
    Length(u64),
    Chunked,
    ChunkedGarbage,
}

impl Wire {
    /// The correct answer.
    pub(crate) fn plain(answer: Answer, request: &Incoming) -> Wire {
        Draft::new(answer, request).finish(request.method == "HEAD")
    }

    /// The answer with a fault. If the fault prevents that the request is carried out, the caller must have replaced the answer; see
    /// [`replacement`].
    pub(crate) fn faulty(answer: Answer, request: &Incoming, fault: &Fault) -> Wire {
        if *fault == Fault::Garbage {
            let head = b"\x16\x03\x01\x00\xff SSH-2.0-not-http\n\0\r\n\r\n{]".to_vec();
            return Wire { status: None, head, body: Body::Bytes(Vec::new()), pace: None, end: End::Close };
        }
        let mut draft = Draft::new(answer, request);
        draft.apply(fault);
        let mut wire = draft.finish(request.method == "HEAD");
        if *fault == Fault::CloseInHeaders {
            // Keep the complete status line and half of the bytes after it.
            let line = wire.head.windows(2).position(|pair| pair == b"\r\n").unwrap_or_default() + 2;
            wire.head.truncate(line + (wire.head.len() - line) / 2);
            wire.body = Body::Bytes(Vec::new());
        }
        wire
    }

    /// The answer to an invalid request.
    pub(crate) fn refusal(status: u16, reason: &str) -> Wire {
        let mut draft = Draft::open(Answer::text(status, reason));
        (draft.connection, draft.end) = (Some("close"), End::Close);
        draft.finish(false)
    }
}

/// The answer that replaces the normal one, if the fault prevents that the request is carried out.
pub(crate) fn replacement(fault: &Fault) -> Option<Answer> {
    match fault {
        Fault::Status { code, body, retry_after, location } => {
            let mut answer = Answer::text(*code, body.as_str());
            if body.starts_with('{') {
                answer.headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
            }
            if let Some(value) = retry_after {
                answer = answer.with("Retry-After", value.to_string());
            }
            if let Some(value) = location {
                answer = answer.with("Location", value);
            }
            Some(answer)
        }
        Fault::Body { text } => Some(Answer::text(200, text.as_str())),
        Fault::Huge { .. } | Fault::Garbage => Some(Answer::text(200, "")),
        _ => None,
    }
}

/// An answer that a fault can still change.
struct Draft {
    answer: Answer,
    filler: Option<u64>,
    framing: Framing,
    connection: Option<&'static str>,
    pace: Option<(usize, Duration)>,
    end: End,
}

impl Draft {
    /// The answer, after which the connection stays open.
    fn open(mut answer: Answer) -> Draft {
        let framing = if matches!(answer.status, 204 | 304) {
            answer.body.clear();
            Framing::Nothing
        } else {
            Framing::Length(answer.body.len() as u64)
        };
        Draft { answer, filler: None, framing, connection: None, pace: None, end: End::KeepOpen }
    }

    /// The answer, after which the connection is closed or stays open as the request asks.
    fn new(answer: Answer, request: &Incoming) -> Draft {
        let mut draft = Draft::open(answer);
        if request.wants_close() {
            (draft.connection, draft.end) = (Some("close"), End::Close);
        } else if request.needs_keep_alive_header() {
            draft.connection = Some("keep-alive");
        }
        draft
    }

    fn apply(&mut self, fault: &Fault) {
        let body = &mut self.answer.body;
        let length = body.len() as u64;
        match fault {
            Fault::CloseInBody => {
                self.framing = Framing::Length(length.max(2));
                body.truncate(body.len() / 2);
            }
            Fault::ShortLength => {
                if body.is_empty() {
                    body.extend(b"surplus");
                }
                self.framing = Framing::Length(body.len() as u64 / 2);
            }
            Fault::LongLength => self.framing = Framing::Length(length + 10),
            Fault::Chunked => self.framing = Framing::Chunked,
            Fault::ChunkedGarbage => self.framing = Framing::ChunkedGarbage,
            Fault::Huge { bytes, length } => {
                self.filler = Some(*bytes);
                self.framing = if *length { Framing::Length(*bytes) } else { Framing::Nothing };
                if !length {
                    (self.connection, self.end) = (Some("close"), End::Close);
                }
            }
            Fault::ManyHeaders { count } => {
                self.answer.headers.extend((0..*count).map(|n| (format!("X-Filler-{n}"), "x".to_owned())))
            }
            Fault::HugeHeader { bytes } => {
                self.answer.headers.push(("X-Filler".to_owned(), "x".repeat(*bytes)));
            }
            Fault::Slow { bytes, ms } => self.pace = Some((*bytes, Duration::from_millis(*ms))),
            Fault::CloseToClient => {
                (self.connection, self.end) = (Some("close"), End::LeaveToClient);
            }
            Fault::Endless => (self.connection, self.end) = (Some("close"), End::Endless),
            _ => {}
        }
        let changes_framing = matches!(
            fault,
            Fault::CloseInBody
                | Fault::ShortLength
                | Fault::LongLength
                | Fault::Chunked
                | Fault::ChunkedGarbage
        );
        if changes_framing && self.answer.status == 204 {
            // A 204 has no body that a fault could change.
            self.answer.status = 200;
        }
        let closes = changes_framing && *fault != Fault::Chunked;
        if closes || matches!(fault, Fault::CloseInHeaders | Fault::CloseAfter) {
            // These faults close without announcing it, even if the client requested `Connection: close`.
            (self.connection, self.end) = (None, End::Close);
        }
    }

    fn finish(mut self, head_only: bool) -> Wire {
        let head = self.head();
        let body = if head_only { Body::Bytes(Vec::new()) } else { self.body() };
        Wire { status: Some(self.answer.status), head, body, pace: self.pace, end: self.end }
    }

    fn head(&self) -> Vec<u8> {
        let status = self.answer.status;
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
        let mut header = |name: &str, value: &str| head.push_str(&format!("{name}: {value}\r\n"));
        for (name, value) in &self.answer.headers {
            header(name, value);
        }
        match self.framing {
            Framing::Nothing => {}
            Framing::Length(length) => header("Content-Length", &length.to_string()),
            Framing::Chunked | Framing::ChunkedGarbage => header("Transfer-Encoding", "chunked"),
        }
        if let Some(value) = self.connection {
            header("Connection", value);
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    fn body(&mut self) -> Body {
        let bytes = std::mem::take(&mut self.answer.body);
        match (self.filler, &self.framing) {
            (Some(length), _) => Body::Filler(length),
            (None, Framing::Chunked) => Body::Bytes(chunked(&bytes)),
            (None, Framing::ChunkedGarbage) => {
                Body::Bytes([b"this is no chunk size\r\n", bytes.as_slice(), b"\r\n0\r\n\r\n"].concat())
            }
            (None, _) => Body::Bytes(bytes),
        }
    }
}

fn chunked(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in bytes.chunks(16) {
        out.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        out.extend(chunk);
        out.extend(b"\r\n");
    }
    out.extend(b"0\r\n\r\n");
    out
}

//! Reads requests from a stream, one after the other. The only answer that it sends is `100 Continue`.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Far more than any known client sends.
const HEAD_LIMIT: usize = 64 * 1024;
/// Far more than the largest value in a test.
const BODY_LIMIT: usize = 64 * 1024 * 1024;
const MAX_HEADERS: usize = 128;

/// A received request.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    is_http_1_0: bool,
}

impl Incoming {
    /// A request of HTTP/1.1.
    #[cfg(test)]
    pub(crate) fn new(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (method, target) = (method.to_owned(), target.to_owned());
        Self { method, target, headers, body: body.to_vec(), is_http_1_0: false }
    }

    /// The values of a header, in their order in the request.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    fn connection_has_token(&self, word: &str) -> bool {
        self.values("connection").flat_map(|v| v.split(',')).any(|v| v.trim().eq_ignore_ascii_case(word))
    }

    /// Whether the server must close the connection after the answer.
    pub(crate) fn wants_close(&self) -> bool {
        self.connection_has_token("close") || (self.is_http_1_0 && !self.connection_has_token("keep-alive"))
    }

    /// Whether the answer must have `Connection: keep-alive`, since an HTTP/1.0 client otherwise assumes that the connection is closed.
    pub(crate) fn needs_keep_alive_header(&self) -> bool {
        self.is_http_1_0 && !self.wants_close()
    }
}

/// The result of waiting for a request.
#[derive(Debug)]
pub(crate) enum Received {
    /// A complete request.
    Request(Incoming),
    /// The client closed between two requests.
    Closed,
    /// The client closed in the middle of a request.
    Cut,
    /// The client reset the connection.
    Reset,
    /// The client sent nothing for the keep-alive time.
    Idle,
    /// A request that this server does not accept: the status of the answer, and the reason.
    Bad(u16, &'static str),
}

/// Reads requests from one connection. Keeps bytes that belong to the next request.
#[derive(Debug)]
pub(crate) struct Receiver {
    buffer: Vec<u8>,
    idle: Duration,
}

impl Receiver {
    /// `idle` is how long the client may send nothing.
    pub(crate) fn new(idle: Duration) -> Receiver {
        Receiver { buffer: Vec::new(), idle }
    }

    /// Waits for the next request.
    pub(crate) async fn next<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S) -> Received {
        match self.read(stream).await {
            Ok(request) => Received::Request(request),
            Err(other) => other,
        }
    }

    async fn read<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
    ) -> Result<Incoming, Received> {
        let (mut request, length) = loop {
            if let Some((request, head)) = parse_head(&self.buffer)? {
                let length = body_length(&request)?;
                self.buffer.drain(..head);
                break (request, length);
            }
            self.fill(stream).await?;
        };
        let expects = request.values("expect").any(|v| v.eq_ignore_ascii_case("100-continue"));
        if expects && self.buffer.len() < length {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(|_| Received::Reset)?;
        }
        while self.buffer.len() < length {
            self.fill(stream).await?;
        }
        request.body = self.buffer.drain(..length).collect();
        Ok(request)
    }

    async fn fill<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Result<(), Received> {
        match timeout(self.idle, stream.read_buf(&mut self.buffer)).await {
            Err(_) => Err(Received::Idle),
            Ok(Ok(0)) if self.buffer.is_empty() => Err(Received::Closed),
            Ok(Ok(0)) => Err(Received::Cut),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => Err(Received::Reset),
            Ok(Err(_)) => Err(Received::Cut),
        }
    }
}

/// The request at the start of the buffer and the length of its head, or `None` while the head is incomplete.
fn parse_head(buffer: &[u8]) -> Result<Option<(Incoming, usize)>, Received> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    match head.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => {
            let own = |text: Option<&str>| text.unwrap_or_default().to_owned();
            let request = Incoming {
                method: own(head.method),
                target: own(head.path),
                is_http_1_0: head.version == Some(0),
                headers: head
                    .headers
                    .iter()
                    .map(|h| (h.name.to_owned(), String::from_utf8_lossy(h.value).into_owned()))
                    .collect(),
                body: Vec::new(),
            };
            if !request.is_http_1_0 && request.values("host").count() != 1 {
                return Err(Received::Bad(400, "not exactly one Host header"));
            }
            Ok(Some((request, length)))
        }
        Ok(httparse::Status::Partial) if buffer.len() > HEAD_LIMIT => {
            Err(Received::Bad(431, "the head is too large"))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err(Received::Bad(431, "too many headers")),
        Err(_) => Err(Received::Bad(400, "not an HTTP/1 request")),
    }
}

fn body_length(request: &Incoming) -> Result<usize, Received> {
    if request.values("transfer-encoding").next().is_some() {
        return Err(Received::Bad(411, "a body without a Content-Length"));
    }
    let mut lengths = request.values("content-length");
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(0),
        (Some(length), None) if length.bytes().all(|b| b.is_ascii_digit()) => match length.parse() {
            Ok(length) if length <= BODY_LIMIT => Ok(length),
            _ => Err(Received::Bad(413, "the body is too large")),
        },
        _ => Err(Received::Bad(400, "not exactly one Content-Length of digits")),
    }
}

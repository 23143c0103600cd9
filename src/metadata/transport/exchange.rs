//! One HTTP/1.1 exchange, with every limit that invariant T1 requires. The stream is a TCP connection to the service, or the
//! daemon's socket.

use std::error::Error;
use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::HeaderMap;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use hyper::rt::{Read, Write};
use tokio::time::timeout;

use crate::metadata::api::request::Request;
use crate::metadata::api::response::Response;
use crate::metadata::error::{Step, TransportError};

/// The number of headers is limited to this: far more than the service sends.
const MAX_HEADERS: usize = 64;
/// The limit for the status line and all headers together, in bytes.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// The time limits of one request. The size limit is [`Request::max_answer_bytes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To open a connection, over either family.
    pub connect: Duration,
    /// From the request to the headers of the response.
    pub headers: Duration,
    /// From the headers to the end of the body.
    pub body: Duration,
    /// For the complete operation, including a second try.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // The kernel repeats a lost SYN after one second.
            connect: Duration::from_millis(2500),
            headers: Duration::from_secs(5),
            body: Duration::from_secs(10),
            total: Duration::from_secs(20),
        }
    }
}

/// Creates an HTTP/1.1 connection on a stream.
pub(crate) async fn handshake<T>(
    io: T,
) -> Result<(SendRequest<Full<Bytes>>, http1::Connection<T, Full<Bytes>>), TransportError>
where
    T: Read + Write + Unpin,
{
    let mut builder = http1::Builder::new();
    builder.max_headers(MAX_HEADERS).max_buf_size(MAX_HEAD_BYTES);
    builder.handshake(io).await.map_err(|why| transport_error(&why))
}

/// The HTTP form of a request. `close` adds `Connection: close`, which asks the other side to close the connection after its
/// response.
pub(crate) fn http_request(
    request: &Request,
    host: &str,
    close: bool,
) -> Result<hyper::Request<Full<Bytes>>, TransportError> {
    let mut http =
        hyper::Request::builder().method(request.method()).uri(request.target()).header(HOST, host);
    let body = request.body();
    if let Some((content_type, _)) = &body {
        http = http.header(CONTENT_TYPE, *content_type);
    }
    if close {
        http = http.header(CONNECTION, "close");
    }
    let body = body.map(|(_, body)| body).unwrap_or_default();
    http.body(Full::new(body)).map_err(|why| TransportError::NotHttp(why.to_string()))
}

/// Sends a request and reads the complete response, with a body of at most `max_bytes`.
pub(crate) async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    http: hyper::Request<Full<Bytes>>,
    max_bytes: usize,
    limits: &Limits,
) -> Result<Response, TransportError> {
    let timed_out = |step, after| TransportError::TimedOut { step, after };
    let received = timeout(limits.headers, sender.send_request(http)).await;
    let received = received.map_err(|_| timed_out(Step::Headers, limits.headers))?;
    let (head, body) = received.map_err(|why| transport_error(&why))?.into_parts();
    if !has_known_coding(&head.headers) {
        return Err(TransportError::NotHttp("unknown Transfer-Encoding".to_owned()));
    }
    let collected = timeout(limits.body, Limited::new(body, max_bytes).collect()).await;
    let collected = collected.map_err(|_| timed_out(Step::Body, limits.body))?;
    let body = collected.map_err(|why| match why.downcast() {
        Ok(why) => transport_error(&why),
        Err(_) => TransportError::TooLarge(max_bytes),
    })?;
    Ok(Response { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes() })
}

/// Whether the body has no transfer coding, or is chunked. With any other coding, hyper would return the encoded bytes up to the
/// end of the connection: these are not the value, and they may be incomplete.
fn has_known_coding(headers: &HeaderMap) -> bool {
    headers.get_all(TRANSFER_ENCODING).iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

/// Converts hyper's error: either the connection was lost, or the received bytes are not HTTP.
fn transport_error(why: &hyper::Error) -> TransportError {
    let text = why.source().map_or_else(|| why.to_string(), |source| format!("{why}: {source}"));
    // hyper reports an invalid chunked body as an I/O error of these kinds.
    let cause = why.source().and_then(|source| source.downcast_ref::<io::Error>());
    let not_chunked = cause
        .is_some_and(|why| matches!(why.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData));
    if why.is_parse() || why.is_parse_too_large() || not_chunked {
        TransportError::NotHttp(text)
    } else {
        TransportError::ConnectionLost(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t1_body_with_unknown_coding_is_no_value() {
        for (codings, known) in [
            (&[][..], true),
            (&["Chunked"], true),
            (&["gzip"], false),
            (&["gzip, chunked"], false),
            (&["c\u{a2}hunked"], false),
            (&["chunked", "gzip"], false),
        ] {
            let mut headers = HeaderMap::new();
            for coding in codings {
                headers.append(TRANSFER_ENCODING, coding.parse().expect("a header's value"));
            }
            assert_eq!(has_known_coding(&headers), known, "{codings:?}");
        }
    }
}

//! One HTTP/1.1 exchange with every bound that law T1 asks for. The stream may be TCP to the service or the daemon's socket.

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

/// More headers than the service sends by far.
const MOST_HEADERS: usize = 64;
/// Status line and headers together, in bytes.
const LARGEST_HEAD: usize = 32 * 1024;

/// The bounds in time of one request. The bounds in size are the request's own ([`Request::answer_limit`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To be connected over one family or the other.
    pub connect: Duration,
    /// From the request sent to the headers of the answer.
    pub headers: Duration,
    /// From the headers to the end of the body.
    pub body: Duration,
    /// All of it, a second try included.
    pub whole: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // One lost SYN is sent again after a second.
            connect: Duration::from_millis(2500),
            headers: Duration::from_secs(5),
            body: Duration::from_secs(10),
            whole: Duration::from_secs(20),
        }
    }
}

/// Makes an HTTP/1.1 connection of a stream.
pub(crate) async fn handshake<T>(
    io: T,
) -> Result<(SendRequest<Full<Bytes>>, http1::Connection<T, Full<Bytes>>), TransportError>
where
    T: Read + Write + Unpin,
{
    let mut builder = http1::Builder::new();
    builder.max_headers(MOST_HEADERS).max_buf_size(LARGEST_HEAD);
    builder.handshake(io).await.map_err(|why| broken(&why))
}

/// A request in HTTP. `closing` tells the other side to close the connection when it has answered.
pub(crate) fn written(
    request: &Request,
    host: &str,
    closing: bool,
) -> Result<hyper::Request<Full<Bytes>>, TransportError> {
    let mut http =
        hyper::Request::builder().method(request.method()).uri(request.target()).header(HOST, host);
    if request.body().is_some() {
        // Without a charset, as every known client sends it.
        http = http.header(CONTENT_TYPE, "text/plain");
    }
    if closing {
        http = http.header(CONNECTION, "close");
    }
    let body = Full::new(request.body().cloned().unwrap_or_default());
    http.body(body).map_err(|why| TransportError::NotHttp(why.to_string()))
}

/// Sends a request and reads the whole answer, of at most `largest` bytes.
pub(crate) async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    http: hyper::Request<Full<Bytes>>,
    largest: usize,
    limits: &Limits,
) -> Result<Response, TransportError> {
    let late = |step, after| TransportError::TimedOut { step, after };
    let sent = timeout(limits.headers, sender.send_request(http)).await;
    let answer = sent.map_err(|_| late(Step::Headers, limits.headers))?.map_err(|why| broken(&why))?;
    let (head, body) = answer.into_parts();
    if !is_plain(&head.headers) {
        return Err(TransportError::NotHttp("its Transfer-Encoding is not known".to_owned()));
    }
    let collected = timeout(limits.body, Limited::new(body, largest).collect()).await;
    let body = collected.map_err(|_| late(Step::Body, limits.body))?.map_err(|why| match why.downcast() {
        Ok(why) => broken(&why),
        Err(_) => TransportError::TooLarge(largest),
    })?;
    Ok(Response { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes() })
}

/// Whether the body comes as it is, or in chunks. In any other coding hyper would hand it on as it came, to the connection's end: not the value, and
/// perhaps not all of it.
fn is_plain(headers: &HeaderMap) -> bool {
    headers.get_all(TRANSFER_ENCODING).iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

/// hyper's error, told apart by what it means: the connection went away, or what came is not HTTP.
fn broken(why: &hyper::Error) -> TransportError {
    let text = why.source().map_or_else(|| why.to_string(), |source| format!("{why}: {source}"));
    // hyper tells a body that is not in the chunks it was announced in by the kind of an I/O error.
    let cause = why.source().and_then(|source| source.downcast_ref::<io::Error>());
    let not_chunked = cause
        .is_some_and(|why| matches!(why.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData));
    if why.is_parse() || why.is_parse_too_large() || not_chunked {
        TransportError::NotHttp(text)
    } else {
        TransportError::Cut(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t1_a_body_in_an_unknown_coding_is_no_value() {
        for (codings, plain) in [
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
            assert_eq!(is_plain(&headers), plain, "{codings:?}");
        }
    }
}

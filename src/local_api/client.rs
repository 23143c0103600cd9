//! The client of the daemon's socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::local_api::{ERROR_HEADER, NO_CHECK};
use crate::metadata::api::request::Request;
use crate::metadata::api::response::{Ask, Response};
use crate::metadata::error::{ErrorKind, TransportError};
use crate::metadata::transport::exchange::{self, Limits};
use crate::status::document::Status;
use crate::util::printable;

/// HTTP requires a host name; the daemon ignores it.
const HOST_NAME: &str = "localhost";
const MAX_STATUS_BYTES: usize = 4 * 1024 * 1024;
/// An error of the daemon is one line; longer texts are cut.
const MAX_ERROR_BYTES: usize = 1024;

/// One connection to the daemon.
pub(crate) struct SocketClient {
    sender: SendRequest<Full<Bytes>>,
    limits: Limits,
}

impl SocketClient {
    /// Connects to the daemon.
    ///
    /// # Errors
    /// The system's error. `NotFound` and `ConnectionRefused` mean that no daemon is running.
    pub(crate) async fn connect(path: &Path, limits: &Limits) -> io::Result<Self> {
        let stream = UnixStream::connect(path).await?;
        let (sender, connection) =
            exchange::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(async move {
            // Errors of the connection reach the client through the sender.
            let _ = connection.await;
        });
        // The daemon has its own limits for the metadata service. The client's limits only need to be longer
        // than the longest time that the daemon may take.
        let relay_timeout = limits.total * 2 + Duration::from_secs(5);
        let limits = Limits { headers: relay_timeout, body: relay_timeout, ..limits.clone() };
        Ok(Self { sender, limits })
    }

    /// Requests the daemon's status document. With `check`, the daemon reads the published value again first,
    /// which takes two seconds at most. Any error is one between the daemon and this process.
    ///
    /// # Errors
    /// An error that the daemon reports, or [`TransportError::Socket`].
    pub(crate) async fn status(&mut self, limit: Duration, check: bool) -> Result<Status, TransportError> {
        let socket_error = |why: String| TransportError::Socket(io::Error::other(why));
        let target = if check { "/status".to_owned() } else { format!("/status?{NO_CHECK}") };
        let http = hyper::Request::get(target).header(HOST, HOST_NAME).body(Full::default());
        let http = http.map_err(|why| socket_error(why.to_string()))?;
        let exchange = exchange::exchange(&mut self.sender, http, MAX_STATUS_BYTES, &self.limits);
        let answer = match timeout(limit, exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => {
                return Err(socket_error(
                    "the daemon closed the connection before its answer was complete".to_owned(),
                ));
            }
            Err(_) => {
                let why = format!("the daemon does not answer within {} s", limit.as_secs());
                return Err(socket_error(why));
            }
        };
        match answer.status {
            200 => serde_json::from_slice(&answer.body).map_err(|why| {
                socket_error(format!("the daemon's status document: {}", printable::json_fault(&why)))
            }),
            _ => {
                Err(daemon_error(&answer)
                    .unwrap_or_else(|| socket_error(format!("status {}", answer.status))))
            }
        }
    }
}

/// The daemon's own error, if the answer is one.
fn daemon_error(answer: &Response) -> Option<TransportError> {
    let kind = ErrorKind::from_name(answer.headers.get(ERROR_HEADER)?.to_str().ok()?)?;
    let text = &answer.body[..answer.body.len().min(MAX_ERROR_BYTES)];
    Some(TransportError::Relayed(kind, String::from_utf8_lossy(text).trim().to_owned()))
}

impl Ask for SocketClient {
    async fn ask(&mut self, request: Request) -> Result<Response, TransportError> {
        let http = exchange::http_request(&request, HOST_NAME, false)?;
        let answer =
            exchange::exchange(&mut self.sender, http, request.max_answer_bytes(), &self.limits).await?;
        match daemon_error(&answer) {
            Some(why) => Err(why),
            None => Ok(answer),
        }
    }
}

//! Asking the daemon over its socket.

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

use crate::local_api::ERROR_HEADER;
use crate::metadata::api::request::Request;
use crate::metadata::api::response::{Ask, Response};
use crate::metadata::error::{ErrorKind, TransportError};
use crate::metadata::transport::exchange;
use crate::metadata::transport::exchange::Limits;
use crate::status::document::Status;
use crate::util::printable;

/// A host name must be there; the daemon passes over it.
const NAME: &str = "localhost";
const LARGEST_STATUS: usize = 4 * 1024 * 1024;
/// The daemon's own error is a line; more of it is not shown.
const LONGEST_ERROR: usize = 1024;

/// One connection to the daemon.
pub(crate) struct SocketClient {
    sender: SendRequest<Full<Bytes>>,
    limits: Limits,
}

impl SocketClient {
    /// Connects.
    ///
    /// # Errors
    /// As the system reports: `NotFound` and `ConnectionRefused` mean that there is no daemon.
    pub(crate) async fn connect(path: &Path, limits: &Limits) -> io::Result<Self> {
        let stream = UnixStream::connect(path).await?;
        let (sender, connection) =
            exchange::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(async move {
            // What goes wrong here reaches the asker through the sender.
            let _ = connection.await;
        });
        // The daemon keeps its own bounds on the service; ours only need to be longer than all that it may do.
        let patience = limits.whole * 2 + Duration::from_secs(5);
        let limits = Limits { headers: patience, body: patience, ..limits.clone() };
        Ok(Self { sender, limits })
    }

    /// The daemon's status document, which it has at hand. Whatever goes wrong is between it and us: it asks nobody else for that.
    ///
    /// # Errors
    /// When the daemon says no, or [`TransportError::Socket`].
    pub(crate) async fn status(&mut self, within: Duration) -> Result<Status, TransportError> {
        let failed = |why: String| TransportError::Socket(io::Error::other(why));
        let http = hyper::Request::get("/status").header(HOST, NAME).body(Full::default());
        let http = http.map_err(|why| failed(why.to_string()))?;
        let exchange = exchange::exchange(&mut self.sender, http, LARGEST_STATUS, &self.limits);
        let answer = match timeout(within, exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => return Err(failed("the daemon broke off before its answer was whole".to_owned())),
            Err(_) => {
                let why = format!("the daemon does not answer within {} s", within.as_secs());
                return Err(failed(why));
            }
        };
        match answer.status {
            200 => serde_json::from_slice(&answer.body)
                .map_err(|why| failed(format!("its status: {}", printable::json_fault(&why)))),
            _ => Err(relayed(&answer).unwrap_or_else(|| failed(format!("status {}", answer.status)))),
        }
    }
}

/// The daemon's own error, where the answer is one.
fn relayed(answer: &Response) -> Option<TransportError> {
    let kind = ErrorKind::from_word(answer.headers.get(ERROR_HEADER)?.to_str().ok()?)?;
    let text = &answer.body[..answer.body.len().min(LONGEST_ERROR)];
    Some(TransportError::Relayed(kind, String::from_utf8_lossy(text).trim().to_owned()))
}

impl Ask for SocketClient {
    async fn ask(&mut self, request: Request) -> Result<Response, TransportError> {
        let http = exchange::written(&request, NAME, false)?;
        let answer = exchange::exchange(&mut self.sender, http, request.answer_limit(), &self.limits).await?;
        match relayed(&answer) {
            Some(why) => Err(why),
            None => Ok(answer),
        }
    }
}

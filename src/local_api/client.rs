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

use super::ERROR_HEADER;
use crate::metadata::exchange::{self, Limits};
use crate::metadata::{Ask, ErrorKind, Request, Response, TransportError};
use crate::printable;
use crate::status::Status;

/// A host name must be there; the daemon passes over it.
const NAME: &str = "localhost";
const LARGEST_STATUS: usize = 4 * 1024 * 1024;
/// The daemon's own error is a line; more of it is not shown.
const LONGEST_ERROR: usize = 1024;

/// One connection to the daemon.
pub struct SocketClient {
    sender: SendRequest<Full<Bytes>>,
    limits: Limits,
}

impl SocketClient {
    /// Connects.
    ///
    /// # Errors
    /// As the system reports: `NotFound` and `ConnectionRefused` mean that there is no daemon.
    pub async fn connect(path: &Path, limits: &Limits) -> io::Result<Self> {
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

    /// The daemon's status document.
    pub async fn status(&mut self) -> Result<Status, TransportError> {
        let http = hyper::Request::get("/status").header(HOST, NAME).body(Full::default());
        let http = http.map_err(|why| TransportError::NotHttp(why.to_string()))?;
        let answer = exchange::exchange(&mut self.sender, http, LARGEST_STATUS, &self.limits).await?;
        match answer.status {
            200 => {
                let malformed = |why| TransportError::NotHttp(printable::json_fault(&why));
                serde_json::from_slice(&answer.body).map_err(malformed)
            }
            _ => Err(relayed(&answer)
                .unwrap_or_else(|| TransportError::NotHttp(format!("status {}", answer.status)))),
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

//! The daemon's side of the socket: who may come in, how many at once, which path leads where.
//!
//! Who asks is told by the kernel (peer credentials), never by the caller. Every client and every request is bounded, so that
//! a slow one harms itself only.

use std::convert::Infallible;
use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::ERROR_HEADER;
use crate::metadata::{ErrorKind, Request, RequestError, Response, TransportError};
use crate::status::Status;

/// Clients served at once; the next one waits in the kernel's queue.
const MOST_CLIENTS: usize = 64;
/// For the head of a request, and then for its body.
const PATIENCE: Duration = Duration::from_secs(5);
/// For a connection as a whole: one whose client does not read gives its place to another.
const WHOLE: Duration = Duration::from_secs(120);
/// The largest value that can be set, in bytes.
const LARGEST_VALUE: usize = 1024 * 1024;

type Answer = hyper::Response<Full<Bytes>>;

/// What stands behind the socket.
pub trait Backend: Clone + 'static {
    /// Carries a request to the metadata service.
    fn ask(&self, request: Request) -> impl Future<Output = Result<Response, TransportError>> + Send;
    /// The state of things.
    fn status(&self) -> Status;
}

/// Listens at `path`, in the place of a socket that an earlier daemon left there.
///
/// # Errors
/// `AddrInUse` when another daemon is listening, or as the system reports.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another daemon is listening there"));
            }
            fs::remove_file(path)?;
        }
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something else than a socket is there",
            ));
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(why) => return Err(why),
    }
    // Bound under another name and given its mode there, so that it never stands open to all, not for an instant.
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    let listener = UnixListener::bind(&beside)?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600))?;
    fs::rename(&beside, path)?;
    Ok(listener)
}

/// Serves until dropped.
pub async fn serve<B: Backend + Send + Sync>(listener: UnixListener, backend: B) {
    let places = Arc::new(Semaphore::new(MOST_CLIENTS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let backend = backend.clone();
                tokio::spawn(async move {
                    serve_client(stream, backend).await;
                    drop(place);
                });
            }
            Err(why) => {
                tracing::warn!("a client of the local socket could not be let in: {why}");
                // Out of file descriptors, most likely: let some be given back.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_client<B: Backend + Send + Sync>(stream: UnixStream, backend: B) {
    let may_ask =
        stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == nix::unistd::geteuid().as_raw());
    let service = service_fn(|http| {
        let backend = backend.clone();
        async move {
            Ok::<_, Infallible>(if may_ask {
                answer(&backend, http).await
            } else {
                error(StatusCode::FORBIDDEN, ErrorKind::NotPermitted, "only root may ask the agent")
            })
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(32 * 1024);
    // A client that breaks off is its own affair.
    let _ = timeout(WHOLE, builder.serve_connection(TokioIo::new(stream), service)).await;
}

async fn answer<B: Backend>(backend: &B, http: hyper::Request<Incoming>) -> Answer {
    let (head, body) = http.into_parts();
    if head.uri.path() == "/status" && head.method == Method::GET {
        return match serde_json::to_vec(&backend.status()) {
            Ok(json) => plain(StatusCode::OK, "application/json", json.into()),
            Err(why) => error(StatusCode::INTERNAL_SERVER_ERROR, ErrorKind::BadAnswer, &why.to_string()),
        };
    }
    let bad = |what: &str| error(StatusCode::BAD_REQUEST, ErrorKind::Refused, what);
    let body = match timeout(PATIENCE, Limited::new(body, LARGEST_VALUE).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(why)) if why.is::<hyper::Error>() => return bad("the request's body was cut"),
        Ok(Err(_)) => {
            let text = format!("a value may have at most {LARGEST_VALUE} bytes");
            return error(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::Refused, &text);
        }
        Err(_) => {
            return error(
                StatusCode::REQUEST_TIMEOUT,
                ErrorKind::Refused,
                "the request's body did not come in time",
            );
        }
    };
    match Request::from_http(&head.method, head.uri.path(), head.uri.query(), body) {
        Ok(request) => match backend.ask(request).await {
            Ok(response) => passed_on(response),
            Err(why) => error(StatusCode::BAD_GATEWAY, why.kind(), &why.to_string()),
        },
        Err(why @ RequestError::UnknownPath) => {
            error(StatusCode::NOT_FOUND, ErrorKind::Refused, &why.to_string())
        }
        Err(why @ RequestError::Method) => {
            error(StatusCode::METHOD_NOT_ALLOWED, ErrorKind::Refused, &why.to_string())
        }
        Err(why @ RequestError::Key(_)) => bad(&why.to_string()),
    }
}

/// The service's answer as it is: status, bytes, and the headers that mean something.
fn passed_on(response: Response) -> Answer {
    let mut answer = hyper::Response::new(Full::new(response.body));
    *answer.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::BAD_GATEWAY);
    for name in [CONTENT_TYPE, RETRY_AFTER] {
        if let Some(value) = response.headers.get(&name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    answer
}

fn error(status: StatusCode, kind: ErrorKind, text: &str) -> Answer {
    let mut answer = plain(status, "text/plain", format!("{text}\n").into());
    answer.headers_mut().insert(ERROR_HEADER, HeaderValue::from_static(kind.as_str()));
    answer
}

fn plain(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = hyper::Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

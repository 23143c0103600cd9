//! The daemon's side of the socket: accepts clients and answers their requests.
//!
//! The kernel reports which user a client is (peer credentials); the client cannot. Every client and every
//! request has limits, so that a slow client harms only itself.

use std::convert::Infallible;
use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::local_api::connection_limits::ConnectionLimits;
use crate::local_api::peer::{self, Groups, Right};
use crate::local_api::{ERROR_HEADER, NO_CHECK};
use crate::metadata::api::request::{Request, RequestError};
use crate::metadata::api::response::Response;
use crate::metadata::error::{ErrorKind, TransportError};
use crate::settings::Settings;
use crate::status::document::Status;
use crate::util::log_once::LogOnce;

/// The time limit for the head of a request, and then for its body.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// The time limit for a connection. It ends a connection whose client does not read, so that another can be
/// served.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// The first and the maximum pause between two tries to accept a client while that fails.
const MIN_ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const MAX_ACCEPT_PAUSE: Duration = Duration::from_secs(5);
/// A failure to accept has ended after this time without another one. Clients that hold all descriptors are
/// disconnected every few seconds. If each accepted client were the end, the log would have a line for each.
const ACCEPT_FAILURE_END: Duration = Duration::from_secs(60);
/// The maximum size of a value that can be set, in bytes.
const MAX_VALUE_BYTES: usize = 1024 * 1024;

type HttpAnswer = hyper::Response<Full<Bytes>>;

/// What answers the requests.
pub trait Backend: Clone + 'static {
    /// Sends a request to the metadata service.
    fn ask(&self, request: Request) -> impl Future<Output = Result<Response, TransportError>> + Send;
    /// The current status. With `check`, the published value is read again first, if that is possible soon.
    fn status(&self, check: bool) -> impl Future<Output = Status> + Send;
}

/// Listens at `path`, and replaces a socket that an earlier daemon left there.
///
/// # Errors
/// `AddrInUse` if another daemon is listening, or the system's error.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(existing) if existing.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another daemon is listening there"));
            }
            fs::remove_file(path)?;
        }
        Ok(_) => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path exists and is not a socket"));
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(why) => return Err(why),
    }
    // Bound under another name first and given its mode there, so that it is never open to all users, not for
    // an instant.
    let temporary_path = path.with_extension("new");
    let _ = fs::remove_file(&temporary_path);
    let listener = UnixListener::bind(&temporary_path)?;
    fs::set_permissions(&temporary_path, fs::Permissions::from_mode(0o600))?;
    fs::rename(&temporary_path, path)?;
    Ok(listener)
}

/// Sets the socket's mode, which decides who can connect. The kernel's peer credentials decide who may send
/// requests: see [`crate::local_api::peer`]. If only root has access, the mode keeps other users from
/// connecting. With a group configured, it cannot: the daemon may not give its socket to a group that it is
/// not in, so all users can connect.
pub(crate) fn set_socket_mode(path: &Path, settings: &Settings) -> io::Result<()> {
    let mode = if Groups::of(settings).grants_access() { 0o666 } else { 0o600 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Serves until dropped.
pub(crate) async fn serve<B: Backend + Send + Sync>(
    listener: UnixListener,
    backend: B,
    settings: watch::Receiver<Settings>,
) {
    let limits = ConnectionLimits::new();
    let accept_failure = LogOnce::default();
    let mut last_failure: Option<Instant> = None;
    let mut pause = MIN_ACCEPT_PAUSE;
    loop {
        let Ok(permit) = limits.trusted.clone().acquire_owned().await else { return };
        let accepted = listener.accept().await.and_then(|(stream, _)| Ok((stream.peer_cred()?, stream)));
        if accepted.is_ok() {
            if last_failure.is_some_and(|at| at.elapsed() >= ACCEPT_FAILURE_END) {
                accept_failure.warn(None);
                last_failure = None;
            }
            pause = MIN_ACCEPT_PAUSE;
        }
        match accepted {
            Ok((peer, stream)) if peer::is_trusted(peer) => {
                let backend = backend.clone();
                let groups = Groups::of(&settings.borrow());
                tokio::spawn(async move {
                    serve_client(stream, backend, Right::Write, &groups, CONNECTION_TIMEOUT).await;
                    drop(permit);
                });
            }
            // Above the limit, the connection is closed without an answer, because an answer would be work,
            // too.
            Ok((peer, stream)) => {
                let Some(admitted) = limits.admit_to_lookup(peer.uid()) else { continue };
                let (backend, limits) = (backend.clone(), limits.clone());
                let groups = Groups::of(&settings.borrow());
                tokio::spawn(async move {
                    let (user_connection, lookup_permit) = admitted;
                    let right = groups.right_of(peer).await;
                    drop(lookup_permit);
                    let is_member = right > Right::Nothing;
                    let Some(permit) = limits.admit(is_member) else { return };
                    let time = if is_member { CONNECTION_TIMEOUT } else { READ_TIMEOUT };
                    serve_client(stream, backend, right, &groups, time).await;
                    drop((permit, user_connection));
                });
            }
            Err(why) => {
                last_failure = Some(Instant::now());
                accept_failure.warn(Some(format!("cannot accept a client of the local socket: {why}")));
                // Most likely out of file descriptors: wait until some are closed.
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_ACCEPT_PAUSE);
            }
        }
    }
}

/// Serves one client with this `right` for at most `time`. A request without the right gets the refusal of
/// `groups`.
pub async fn serve_client<B: Backend + Send + Sync>(
    stream: UnixStream,
    backend: B,
    right: Right,
    groups: &Groups,
    time: Duration,
) {
    let service = service_fn(|http| {
        let backend = backend.clone();
        async move {
            let write = !matches!(*http.method(), Method::GET | Method::HEAD);
            let needed = if write { Right::Write } else { Right::Read };
            Ok::<_, Infallible>(if right >= needed {
                answer(&backend, http).await
            } else {
                let refusal = groups.refusal(write && right > Right::Nothing);
                error(StatusCode::FORBIDDEN, ErrorKind::NotPermitted, &refusal)
            })
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(READ_TIMEOUT).max_buf_size(32 * 1024);
    // A client that closes the connection early is no error of the daemon.
    let _ = timeout(time, builder.serve_connection(TokioIo::new(stream), service)).await;
}

async fn answer<B: Backend>(backend: &B, http: hyper::Request<Incoming>) -> HttpAnswer {
    let (head, body) = http.into_parts();
    if head.uri.path() == "/status" && head.method == Method::GET {
        let check = head.uri.query() != Some(NO_CHECK);
        return match serde_json::to_vec(&backend.status(check).await) {
            Ok(json) => plain(StatusCode::OK, "application/json", json.into()),
            Err(why) => error(StatusCode::INTERNAL_SERVER_ERROR, ErrorKind::BadAnswer, &why.to_string()),
        };
    }
    let bad = |what: &str| error(StatusCode::BAD_REQUEST, ErrorKind::Refused, what);
    let body = match timeout(READ_TIMEOUT, Limited::new(body, MAX_VALUE_BYTES).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(why)) if why.is::<hyper::Error>() => return bad("the request's body is incomplete"),
        Ok(Err(_)) => {
            let text = format!("a value may have at most {MAX_VALUE_BYTES} bytes");
            return error(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::Refused, &text);
        }
        Err(_) => {
            return error(
                StatusCode::REQUEST_TIMEOUT,
                ErrorKind::Refused,
                "the request's body did not arrive in time",
            );
        }
    };
    match Request::from_http(&head.method, head.uri.path(), head.uri.query(), body) {
        Ok(request) => match backend.ask(request).await {
            Ok(response) => relayed(response),
            Err(why) => error(StatusCode::BAD_GATEWAY, why.kind(), &why.to_string()),
        },
        Err(why @ RequestError::UnknownPath) => {
            error(StatusCode::NOT_FOUND, ErrorKind::Refused, &why.to_string())
        }
        Err(why @ RequestError::Method) => {
            error(StatusCode::METHOD_NOT_ALLOWED, ErrorKind::Refused, &why.to_string())
        }
        Err(why @ (RequestError::Key(_) | RequestError::State(_))) => bad(&why.to_string()),
    }
}

/// The service's answer, unchanged: status, body, and the headers that matter.
fn relayed(response: Response) -> HttpAnswer {
    let mut answer = hyper::Response::new(Full::new(response.body));
    *answer.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::BAD_GATEWAY);
    for name in [CONTENT_TYPE, RETRY_AFTER] {
        if let Some(value) = response.headers.get(&name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    answer
}

fn error(status: StatusCode, kind: ErrorKind, text: &str) -> HttpAnswer {
    let mut answer = plain(status, "text/plain", format!("{text}\n").into());
    answer.headers_mut().insert(ERROR_HEADER, HeaderValue::from_static(kind.as_str()));
    answer
}

fn plain(status: StatusCode, content_type: &'static str, body: Bytes) -> HttpAnswer {
    let mut answer = hyper::Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

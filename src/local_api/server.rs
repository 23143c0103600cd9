//! The daemon's side of the socket: letting clients in, and which path leads where.
//!
//! Who asks is told by the kernel (peer credentials), never by the caller. Every client and every request is bounded, so that
//! a slow one harms itself only.

use std::convert::Infallible;
use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

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

use crate::local_api::ERROR_HEADER;
use crate::local_api::connection_limits::ConnectionLimits;
use crate::local_api::peer;
use crate::local_api::peer::{Groups, Right};
use crate::metadata::api::request::{Request, RequestError};
use crate::metadata::api::response::Response;
use crate::metadata::error::{ErrorKind, TransportError};
use crate::settings::Settings;
use crate::status::document::Status;
use crate::util::log_once::LogOnce;

/// For the head of a request, and then for its body.
const PATIENCE: Duration = Duration::from_secs(5);
/// For a connection as a whole: one whose client does not read gives its place to another.
const WHOLE: Duration = Duration::from_secs(120);
/// Between two tries to accept a client while that fails: the first one, and the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The largest value that can be set, in bytes.
const LARGEST_VALUE: usize = 1024 * 1024;

type HttpAnswer = hyper::Response<Full<Bytes>>;

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
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
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

/// Sets who may connect at all. Nobody's word but the kernel's decides who may ask, either way: see [`crate::local_api::peer`]. The mode keeps strangers
/// from even knocking where only root is let in; a group's members cannot be told from others by a mode, since the daemon may not give its
/// socket to a group that it is not in.
pub(crate) fn open_to(path: &Path, settings: &Settings) -> io::Result<()> {
    let mode = if Groups::of(settings).any() { 0o666 } else { 0o600 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Serves until dropped.
pub(crate) async fn serve<B: Backend + Send + Sync>(
    listener: UnixListener,
    backend: B,
    settings: watch::Receiver<Settings>,
) {
    let places = ConnectionLimits::new();
    let failing = LogOnce::default();
    let mut pause = SHORTEST_PAUSE;
    loop {
        let Ok(place) = places.trusted.clone().acquire_owned().await else { return };
        let accepted = listener.accept().await.and_then(|(stream, _)| Ok((stream.peer_cred()?, stream)));
        if accepted.is_ok() {
            failing.warn(None);
            pause = SHORTEST_PAUSE;
        }
        match accepted {
            Ok((peer, stream)) if peer::is_trusted(peer) => {
                let backend = backend.clone();
                let groups = Groups::of(&settings.borrow());
                tokio::spawn(async move {
                    serve_client(stream, backend, Right::Write, &groups, WHOLE).await;
                    drop(place);
                });
            }
            // Who finds no place is turned away without a word: an answer would be work, too.
            Ok((peer, stream)) => {
                let Some(door) = places.at_the_door(peer.uid()) else { continue };
                let (backend, places) = (backend.clone(), places.clone());
                let groups = Groups::of(&settings.borrow());
                tokio::spawn(async move {
                    let (user_place, at_the_door) = door;
                    let right = groups.right_of(peer).await;
                    drop(at_the_door);
                    let is_member = right > Right::Nothing;
                    let Some(place) = places.inside(is_member) else { return };
                    let time = if is_member { WHOLE } else { PATIENCE };
                    serve_client(stream, backend, right, &groups, time).await;
                    drop((place, user_place));
                });
            }
            Err(why) => {
                failing.warn(Some(format!("cannot accept a client of the local socket: {why}")));
                // Out of file descriptors, most likely: let some be closed.
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Serves one client, who has this `right`, for so much `time` at most; whoever may not is refused with what `groups` says.
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
    builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(32 * 1024);
    // A client that breaks off is its own affair.
    let _ = timeout(time, builder.serve_connection(TokioIo::new(stream), service)).await;
}

async fn answer<B: Backend>(backend: &B, http: hyper::Request<Incoming>) -> HttpAnswer {
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
fn passed_on(response: Response) -> HttpAnswer {
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

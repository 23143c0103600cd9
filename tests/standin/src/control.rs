//! The control socket: HTTP over a Unix socket, to inspect and change a running stand-in. It is not part of the Metadata API.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::faults::{Body, End, Order, Wire};
use crate::http::{Answer, Incoming, Received, Receiver};
use crate::server::Shared;
use crate::switchboard::Switchboard;

/// Long enough for a person who types the next request.
const IDLE: Duration = Duration::from_secs(60);

/// Makes the socket. Replaces a stale socket, which no process serves any more.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    let is_socket = path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    let socket = UnixListener::bind(path)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Serves the socket until the runtime stops.
pub(crate) async fn serve(socket: UnixListener, switchboard: Arc<Switchboard>) -> io::Result<()> {
    let socket = tokio::net::UnixListener::from_std(socket)?;
    loop {
        let (stream, _) = socket.accept().await?;
        tokio::spawn(run(stream, Arc::clone(&switchboard)));
    }
}

async fn run(mut stream: UnixStream, switchboard: Arc<Switchboard>) -> io::Result<()> {
    let mut receiver = Receiver::new(IDLE);
    loop {
        let wire = match receiver.next(&mut stream).await {
            Received::Request(request) => Wire::plain(answer(&switchboard, &request).await, &request),
            Received::Bad(status, reason) => Wire::refusal(status, reason),
            _ => return Ok(()),
        };
        stream.write_all(&wire.head).await?;
        if let Body::Bytes(body) = &wire.body {
            stream.write_all(body).await?;
        }
        if wire.end != End::KeepOpen {
            return stream.shutdown().await;
        }
    }
}

async fn answer(switchboard: &Switchboard, request: &Incoming) -> Answer {
    let shared = &*switchboard.shared;
    match (request.method.as_str(), request.target.as_str()) {
        ("GET", "/requests") => list(shared.requests().iter().map(|request| request.to_json())),
        ("DELETE", "/requests") => {
            shared.clear_requests();
            Answer::empty(204)
        }
        ("GET", "/connections") => list(shared.connections().iter().map(|c| c.to_json())),
        ("PUT", "/orders") => match parse_orders(&request.body) {
            Ok(orders) => set_orders(switchboard, orders).await,
            Err(error) => Answer::text(400, format!("{error}\n")),
        },
        ("DELETE", "/orders") => set_orders(switchboard, Vec::new()).await,
        ("PUT", "/conf") => match serde_json::from_slice::<Value>(&request.body) {
            Ok(conf) => {
                shared.platform(|platform| platform.set_conf(conf));
                Answer::empty(204)
            }
            Err(error) => Answer::text(400, format!("{error}\n")),
        },
        (method, target) => match target.strip_prefix("/user_data/") {
            Some(key) => user_data(shared, method, percent_decode_str(key).collect(), &request.body),
            None => Answer::text(404, "not found: see the README\n"),
        },
    }
}

fn list(items: impl Iterator<Item = Value>) -> Answer {
    Answer::json(&json!(items.collect::<Vec<_>>()))
}

fn parse_orders(body: &[u8]) -> Result<Vec<Order>, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    Order::parse_all(text).map_err(|error| error.to_string())
}

async fn set_orders(switchboard: &Switchboard, orders: Vec<Order>) -> Answer {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    switchboard.put_in_force(orders, move |address, result| {
        let failure = result.err().map(|error| format!("cannot listen on {address}: {error}\n"));
        drop(sender.send(failure));
    });
    while let Some(failure) = receiver.recv().await {
        if let Some(text) = failure {
            return Answer::text(500, text);
        }
    }
    Answer::empty(204)
}

fn user_data(shared: &Shared, method: &str, key: Vec<u8>, body: &[u8]) -> Answer {
    match method {
        "GET" => match shared.platform(|platform| platform.user_data.get(&key).cloned()) {
            Some(value) => Answer::text(200, value),
            None => Answer::text(404, "not set\n"),
        },
        "PUT" => {
            shared.platform(|platform| platform.user_data.insert(key, body.to_vec()));
            Answer::empty(204)
        }
        "DELETE" => {
            shared.platform(|platform| platform.user_data.remove(&key));
            Answer::empty(204)
        }
        _ => Answer::text(405, "method not allowed\n"),
    }
}

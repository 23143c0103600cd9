//! One open HTTP/1.1 connection to the service, and how it ends: by the service, whenever that can be had (law T4).

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep};

use crate::metadata::api::request::Request;
use crate::metadata::api::response::Response;
use crate::metadata::error::TransportError;
use crate::metadata::family::Family;
use crate::metadata::transport::exchange;
use crate::metadata::transport::exchange::Limits;

/// How long a service that said it would close has for it…
const CLOSING: Duration = Duration::from_millis(500);
/// …and how many bytes may come meanwhile; with more, the connection is reset.
const MOST_SURPLUS: usize = 64 * 1024;

/// An open connection.
pub struct Connection {
    pub(crate) family: Family,
    sender: SendRequest<Full<Bytes>>,
    /// Ends with whether more came than was announced; `None` when that has been asked.
    driver: Option<JoinHandle<bool>>,
}

impl Connection {
    /// Speaks HTTP/1.1 on `stream`; the connection is driven by a task of its own.
    ///
    /// # Errors
    /// When the stream does not take a connection.
    pub async fn open(family: Family, stream: TcpStream) -> Result<Self, TransportError> {
        let io = TokioIo::new(ServerCloses { stream, ended: false, surplus: 0, patience: None });
        let (sender, connection) = exchange::handshake(io).await?;
        Ok(Self { family, sender, driver: Some(tokio::spawn(drive(connection))) })
    }

    /// Whether the service has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Asks one question. `closing` asks the service to close the connection behind its answer.
    ///
    /// # Errors
    /// When no whole answer comes within the bounds of `limits` and of the request (law T1).
    pub async fn ask(
        &mut self,
        request: &Request,
        limits: &Limits,
        closing: bool,
    ) -> Result<Response, TransportError> {
        let http = exchange::written(request, self.family.host(), closing)?;
        let answer = exchange::exchange(&mut self.sender, http, request.answer_limit(), limits).await?;
        if !request.writes() && answer.status == 200 && self.has_surplus(closing).await {
            return Err(TransportError::NotHttp("more came than its Content-Length says".to_owned()));
        }
        Ok(answer)
    }

    /// Whether more came than the answer's length announced: then the length is wrong, and what it left of the value may be a
    /// part. On a connection that the service was told to close, all that comes is seen; on any other, what came already.
    async fn has_surplus(&mut self, closing: bool) -> bool {
        match self.driver.take_if(|driver| closing || driver.is_finished()) {
            Some(driver) => driver.await.unwrap_or_default(),
            None => false,
        }
    }

    /// Waits, within a bound, until the connection is gone: for a process that is about to end.
    pub(crate) async fn closed(self) {
        drop(self.sender);
        if let Some(driver) = self.driver {
            let _ = driver.await;
        }
    }
}

/// Carries a connection to its end; whether more came than was announced. What else goes wrong reaches the asker through its sender.
async fn drive(mut connection: http1::Connection<TokioIo<ServerCloses>, Full<Bytes>>) -> bool {
    let ended = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
    let http1::Parts { io, read_buf, .. } = connection.into_parts();
    let mut stream = io.into_inner();
    if ended.is_ok() {
        let _ = stream.shutdown().await;
    }
    stream.surplus > 0 || !read_buf.is_empty()
}

/// A stream that lets the other side close first.
///
/// Where hyper shuts it down, it waits a moment for the service's end of data; only when that was seen, the socket is closed
/// in the ordinary way. Otherwise the zero linger time that it was made with resets the connection.
struct ServerCloses {
    stream: TcpStream,
    ended: bool,
    /// How many bytes came when nothing was to come.
    surplus: usize,
    patience: Option<Pin<Box<Sleep>>>,
}

impl ServerCloses {
    fn end_of_data(&mut self) {
        if !self.ended {
            self.ended = true;
            let _ = SockRef::from(&self.stream).set_linger(None);
        }
    }
}

impl AsyncRead for ServerCloses {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let room = buf.remaining();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if matches!(result, Poll::Ready(Ok(()))) && room > 0 && buf.filled().len() == before {
            self.end_of_data();
        }
        result
    }
}

impl AsyncWrite for ServerCloses {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut rest = [0; 1024];
        // The bound on bytes is what ends this with a peer that never stops: it has data ready each time, so the timer is not looked at.
        while !self.ended && self.surplus <= MOST_SURPLUS {
            let mut buf = ReadBuf::new(&mut rest);
            match self.as_mut().poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) => self.surplus += buf.filled().len(),
                Poll::Ready(Err(_)) => break,
                Poll::Pending => {
                    let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(CLOSING)));
                    return patience.as_mut().poll(cx).map(|()| Ok(()));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn t1_peer_that_never_stops_sending_is_reset() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        ours.set_nonblocking(true).expect("set");
        let stream = TcpStream::from_std(OwnedFd::from(ours).into()).expect("a stream");
        let peer = thread::spawn(move || {
            let _ = theirs.read(&mut [0; 4096]);
            let _ = theirs.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
            let mut sent = 0;
            while let Ok(count) = theirs.write(&[b'x'; 64 * 1024]) {
                sent += count;
            }
            sent
        });
        let mut connection = Connection::open(Family::Ipv4, stream).await.expect("open");
        let answer = connection.ask(&Request::Probe, &Limits::default(), true).await;
        assert!(matches!(answer, Err(TransportError::NotHttp(_))), "{answer:?}");
        let sent = peer.join().expect("it ends when the connection is gone");
        // What was taken, and what the socket's buffers hold.
        assert!(sent < 4 << 20, "{sent} bytes were taken");
    }
}

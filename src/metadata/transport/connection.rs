//! One open HTTP/1.1 connection to the service, and its end: the service closes first, if possible (invariant T4).

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

/// How long to wait for the service to close the connection. After that, the connection is reset.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// How many bytes may arrive during this wait. With more, the connection is reset.
const MAX_SURPLUS_BYTES: usize = 64 * 1024;

/// An open connection.
pub struct Connection {
    pub(crate) family: Family,
    sender: SendRequest<Full<Bytes>>,
    /// The task of [`drive`]: its result is whether surplus bytes arrived. `None` after the result was taken.
    driver: Option<JoinHandle<bool>>,
}

impl Connection {
    /// Starts HTTP/1.1 on `stream`. A separate task drives the connection.
    ///
    /// # Errors
    /// If the HTTP connection cannot be started on the stream.
    pub async fn open(family: Family, stream: TcpStream) -> Result<Self, TransportError> {
        let io = TokioIo::new(PassiveCloseStream { stream, ended: false, surplus: 0, close_timer: None });
        let (sender, connection) = exchange::handshake(io).await?;
        Ok(Self { family, sender, driver: Some(tokio::spawn(drive(connection))) })
    }

    /// Whether the service has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends one request. `close` asks the service to close the connection after its response.
    ///
    /// # Errors
    /// If no complete response arrives within `limits` and the size limit of the request (invariant T1).
    pub async fn ask(
        &mut self,
        request: &Request,
        limits: &Limits,
        close: bool,
    ) -> Result<Response, TransportError> {
        let http = exchange::http_request(request, self.family.host(), close)?;
        let answer = exchange::exchange(&mut self.sender, http, request.max_answer_bytes(), limits).await?;
        if !request.writes() && answer.status == 200 && self.has_surplus(close).await {
            return Err(TransportError::NotHttp("the body is longer than its Content-Length".to_owned()));
        }
        Ok(answer)
    }

    /// Whether more bytes arrived than the `Content-Length` of the response. Then the length is wrong, and the received value may be
    /// incomplete. If the service was asked to close the connection, this waits for all bytes. Otherwise only bytes that have
    /// already arrived are detected.
    async fn has_surplus(&mut self, close: bool) -> bool {
        match self.driver.take_if(|driver| close || driver.is_finished()) {
            Some(driver) => driver.await.unwrap_or_default(),
            None => false,
        }
    }

    /// Waits until the connection is closed, with a timeout. For a process that is about to end.
    pub(crate) async fn wait_until_closed(self) {
        drop(self.sender);
        if let Some(driver) = self.driver {
            let _ = driver.await;
        }
    }
}

/// Runs a connection to its end. Returns whether more bytes arrived than the response announced. Other errors reach the caller
/// through the connection's sender.
async fn drive(mut connection: http1::Connection<TokioIo<PassiveCloseStream>, Full<Bytes>>) -> bool {
    let ended = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
    let http1::Parts { io, read_buf, .. } = connection.into_parts();
    let mut stream = io.into_inner();
    if ended.is_ok() {
        let _ = stream.shutdown().await;
    }
    stream.surplus > 0 || !read_buf.is_empty()
}

/// A stream on which the other side closes first.
///
/// When hyper shuts it down, it waits for the service's end of data, with a timeout. If the end of data arrives, the socket is
/// closed normally. Otherwise the connection is reset, because the socket was created with a linger time of zero.
struct PassiveCloseStream {
    stream: TcpStream,
    /// Whether the service's end of data was received.
    ended: bool,
    /// The number of bytes that arrived after the end of the response.
    surplus: usize,
    /// Ends the wait for the service's end of data; started on first use.
    close_timer: Option<Pin<Box<Sleep>>>,
}

impl PassiveCloseStream {
    /// Notes the end of data, and switches the socket to a normal close.
    fn end_of_data(&mut self) {
        if !self.ended {
            self.ended = true;
            let _ = SockRef::from(&self.stream).set_linger(None);
        }
    }
}

impl AsyncRead for PassiveCloseStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let capacity = buf.remaining();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if matches!(result, Poll::Ready(Ok(()))) && capacity > 0 && buf.filled().len() == before {
            self.end_of_data();
        }
        result
    }
}

impl AsyncWrite for PassiveCloseStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut discarded = [0; 1024];
        // A peer that never stops sending always has data ready, so the timer is never polled. Then the byte limit ends the loop.
        while !self.ended && self.surplus <= MAX_SURPLUS_BYTES {
            let mut buf = ReadBuf::new(&mut discarded);
            match self.as_mut().poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) => self.surplus += buf.filled().len(),
                Poll::Ready(Err(_)) => break,
                Poll::Pending => {
                    let timer = self.close_timer.get_or_insert_with(|| Box::pin(sleep(CLOSE_TIMEOUT)));
                    return timer.as_mut().poll(cx).map(|()| Ok(()));
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
        let sent = peer.join().expect("it ends when the connection is closed");
        // The bytes that were read, and those in the socket's buffers.
        assert!(sent < 4 << 20, "{sent} bytes were accepted");
    }
}

//! One open HTTP/1.1 connection to the service, and how it ends: by the service, whenever that can be had (law T4).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep};

use super::connect::Family;
use super::exchange::{self, Limits};
use crate::metadata::{Request, Response, TransportError};

/// How long a service that said it would close has for it.
const CLOSING: Duration = Duration::from_millis(500);

/// An open connection.
pub(super) struct Connection {
    pub(super) family: Family,
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Connection {
    /// Speaks HTTP/1.1 on `stream`; the connection is driven by a task of its own.
    pub(super) async fn open(family: Family, stream: TcpStream) -> Result<Self, TransportError> {
        let io = TokioIo::new(ServerCloses { stream, ended: false, patience: None });
        let (sender, connection) = exchange::handshake(io).await?;
        let driver = tokio::spawn(async move {
            // What goes wrong here reaches the asker through `sender`.
            let _ = connection.await;
        });
        Ok(Self { family, sender, driver })
    }

    /// Whether the service has closed it.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Asks one question.
    pub(super) async fn ask(
        &mut self,
        request: &Request,
        limits: &Limits,
        closing: bool,
    ) -> Result<Response, TransportError> {
        let http = exchange::written(request, self.family.host(), closing)?;
        exchange::exchange(&mut self.sender, http, request.answer_limit(), limits).await
    }

    /// Waits, within a bound, until the connection is gone: for a process that is about to end.
    pub(super) async fn closed(self) {
        drop(self.sender);
        let _ = self.driver.await;
    }
}

/// A stream that lets the other side close first.
///
/// Where hyper shuts it down, it waits a moment for the service's end of data; only when that was seen, the socket is closed
/// in the ordinary way. Otherwise the zero linger time that it was made with resets the connection.
struct ServerCloses {
    stream: TcpStream,
    ended: bool,
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
        while !self.ended {
            let mut buf = ReadBuf::new(&mut rest);
            match self.as_mut().poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) => {}
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

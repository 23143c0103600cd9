//! One connection: reads requests, sends the answers, and records which side closed first. Other modules decide what to send.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::record::{How, Side};
use super::shared::Shared;
use super::tls::{Stream, Tls};
use crate::faults::{Body, End, Fault, Wire, replacement};
use crate::http::{Answer, Incoming, Received, Receiver};

/// How long a client may leave its side open after the server has closed.
const LINGER: Duration = Duration::from_secs(2);
/// How often to check during a delay whether the client has closed.
const LOOK: Duration = Duration::from_millis(20);

/// Serves a connection until it ends: with TLS it is one of the public API.
pub(super) async fn run(stream: TcpStream, peer: SocketAddr, tls: Option<Tls>, shared: Arc<Shared>) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    // Small pieces must be sent at once. This fails only if the client is gone, which later calls report.
    drop(stream.set_nodelay(true));
    let (id, verdict) = shared.record_connection(peer, local);
    let served = |stream| Served { stream, peer, local, id, shared: Arc::clone(&shared), is_cut: false };
    let plain = |stream| served(Stream::Plain(stream));
    let handshake_failed = |why: &str| {
        shared.record_error(id, &format!("TLS: {why}"));
        shared.closed(id, Side::Server, How::Fin);
    };
    match (verdict.fault, tls) {
        (Some(Fault::AcceptSilent), _) => plain(stream).ignore().await,
        (Some(_), _) => plain(stream).reset(),
        (None, None) => plain(stream).serve().await,
        (None, Some(tls)) => match timeout(shared.keep_alive, tls.accept(stream)).await {
            Ok(Ok(stream)) => served(stream).serve().await,
            Ok(Err(error)) => handshake_failed(&error.to_string()),
            Err(_) => handshake_failed("no handshake in time"),
        },
    }
}

struct Served {
    stream: Stream,
    peer: SocketAddr,
    local: SocketAddr,
    id: u64,
    shared: Arc<Shared>,
    /// A fault ends the connection in the middle: with TLS, its end is not announced.
    is_cut: bool,
}

impl Served {
    async fn serve(&mut self) {
        let mut receiver = Receiver::new(self.shared.keep_alive);
        loop {
            let end = match receiver.next(&mut self.stream).await {
                Received::Request(request) => self.respond(&request).await,
                Received::Closed => return self.client_closed(How::Fin),
                Received::Reset => return self.client_closed(How::Rst),
                Received::Cut => {
                    self.shared.record_error(self.id, "closed in the middle of a request");
                    return self.client_closed(How::Fin);
                }
                Received::Idle => Some(End::Close),
                Received::Bad(status, reason) => {
                    self.shared.record_error(self.id, reason);
                    self.send(Wire::refusal(status, reason)).await
                }
            };
            match end {
                Some(End::KeepOpen) => {}
                Some(End::Close) => return self.close().await,
                Some(End::LeaveToClient) => return self.ignore().await,
                Some(End::Endless) => return self.flood().await,
                None => return,
            }
        }
    }

    /// Answers one request, unless a fault prevents it. Returns `None` if the connection is gone.
    async fn respond(&mut self, request: &Incoming) -> Option<End> {
        let (number, verdict) = self.shared.record_request(self.id, self.peer, self.local, request);
        self.pause(verdict.delay).await;
        let fault = match verdict.fault {
            None => {
                let answer = self.answer(request);
                return self.decide(number, Wire::plain(answer, request)).await;
            }
            Some(fault) => fault,
        };
        self.is_cut =
            matches!(fault, Fault::Drop | Fault::ApplyThenDrop | Fault::CloseInHeaders | Fault::CloseInBody);
        if fault == Fault::ApplyThenDrop {
            self.answer(request);
        }
        match fault {
            Fault::Drop | Fault::ApplyThenDrop => {
                self.shared.record_status(number, None);
                Some(End::Close)
            }
            Fault::Reset => {
                self.shared.record_status(number, None);
                self.reset();
                None
            }
            Fault::Silent => {
                self.shared.record_status(number, None);
                Some(End::LeaveToClient)
            }
            fault => {
                let answer = replacement(&fault).unwrap_or_else(|| self.answer(request));
                self.decide(number, Wire::faulty(answer, request, &fault)).await
            }
        }
    }

    /// Carries out a request.
    fn answer(&self, request: &Incoming) -> Answer {
        match self.stream {
            Stream::Plain(_) => self.shared.metadata_answer(request, self.peer.port()),
            Stream::Tls(_) => self.shared.public_answer(request),
        }
    }

    async fn decide(&mut self, number: u64, wire: Wire) -> Option<End> {
        self.shared.record_status(number, wire.status);
        self.send(wire).await
    }

    /// Sends an answer. Returns `None` if the client is gone.
    async fn send(&mut self, wire: Wire) -> Option<End> {
        let end = wire.end;
        match self.write(wire).await {
            Ok(()) => Some(end),
            Err(_) => {
                self.client_closed(How::Rst);
                None
            }
        }
    }

    async fn write(&mut self, wire: Wire) -> io::Result<()> {
        let mut bytes = wire.head;
        let mut filler = 0;
        match wire.body {
            Body::Bytes(body) => bytes.extend(body),
            Body::Filler(length) => filler = length,
        }
        let Some((size, rest)) = wire.pace else {
            if wire.end == End::Close {
                // With TCP_CORK, the FIN is sent with the last bytes, so that the client cannot close first.
                SockRef::from(self.stream.socket()).set_tcp_cork(true)?;
            }
            self.stream.write_all(&bytes).await?;
            tokio::io::copy(&mut tokio::io::repeat(b'x').take(filler), &mut self.stream).await?;
            return self.stream.flush().await;
        };
        for (index, drip) in bytes.chunks(size).enumerate() {
            if index > 0 {
                self.pause(rest).await;
            }
            self.stream.write_all(drip).await?;
            self.stream.flush().await?;
        }
        Ok(())
    }

    /// Waits, and records if the client closes in the meantime.
    async fn pause(&self, length: Duration) {
        let end = Instant::now() + length;
        while Instant::now() < end {
            self.look();
            sleep_until(end.min(Instant::now() + LOOK)).await;
        }
    }

    /// Records it if the client has already closed.
    fn look(&self) {
        match SockRef::from(self.stream.socket()).peek(&mut [MaybeUninit::uninit()]) {
            Ok(0) => self.client_closed(How::Fin),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => self.client_closed(How::Rst),
            _ => {}
        }
    }

    /// Closes so that the client receives all bytes, even if it is still sending.
    async fn close(&mut self) {
        self.look();
        self.shared.closed(self.id, Side::Server, How::Fin);
        // This fails only if the client is gone. Then nothing remains to be done.
        let end = async {
            if self.is_cut {
                drop(SockRef::from(self.stream.socket()).shutdown(Shutdown::Write));
            } else {
                drop(self.stream.shutdown().await);
            }
            self.drain().await
        };
        drop(timeout(LINGER, end).await);
    }

    fn reset(&mut self) {
        self.look();
        self.shared.closed(self.id, Side::Server, How::Rst);
        // With a linger time of zero, dropping the stream sends a reset.
        drop(SockRef::from(self.stream.socket()).set_linger(Some(Duration::ZERO)));
    }

    /// Sends nothing until the client closes.
    async fn ignore(&mut self) {
        let how = self.drain().await;
        self.client_closed(how);
    }

    /// Sends bytes until the client closes.
    async fn flood(&mut self) {
        drop(tokio::io::copy(&mut tokio::io::repeat(b'x'), &mut self.stream).await);
        self.client_closed(How::Rst);
    }

    async fn drain(&mut self) -> How {
        match tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await {
            Ok(_) => How::Fin,
            Err(_) => How::Rst,
        }
    }

    fn client_closed(&self, how: How) {
        self.shared.closed(self.id, Side::Client, how);
    }
}

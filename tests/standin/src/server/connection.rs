//! One connection: reads requests, has them judged and answered, sends the bytes, and notes who closed first.
//! What to send is decided elsewhere.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::record::{How, Side};
use super::shared::Shared;
use crate::faults::{Body, End, Fault, Wire, replacement};
use crate::http::{Incoming, Received, Receiver};

/// How long a client may leave its side open after the server has closed.
const LINGER: Duration = Duration::from_secs(2);
/// Often enough to see the client close during a delay.
const LOOK: Duration = Duration::from_millis(20);

/// Serves a connection to its end.
pub(super) async fn run(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    // Small drips are to leave at once. It fails only when the client is gone, which will show.
    drop(stream.set_nodelay(true));
    let (id, verdict) = shared.connected(peer, local);
    let mut connection = Served { stream, peer, local, id, shared };
    match verdict.fault {
        Some(Fault::AcceptSilent) => connection.ignore().await,
        Some(_) => connection.reset(),
        None => connection.serve().await,
    }
}

struct Served {
    stream: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
    id: u64,
    shared: Arc<Shared>,
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
                    self.shared.misbehaved(self.id, "closed in the middle of a request");
                    return self.client_closed(How::Fin);
                }
                Received::Idle => Some(End::Close),
                Received::Bad(status, reason) => {
                    self.shared.misbehaved(self.id, reason);
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

    /// Answers one request, or not; `None` when the connection is gone.
    async fn respond(&mut self, request: &Incoming) -> Option<End> {
        let (number, verdict) = self.shared.arrived(self.id, self.peer, self.local, request);
        self.pause(verdict.delay).await;
        let fault = match verdict.fault {
            None => {
                let answer = self.shared.answer(request, self.peer.port());
                return self.decide(number, Wire::plain(answer, request)).await;
            }
            Some(fault) => fault,
        };
        if fault == Fault::ApplyThenDrop {
            self.shared.answer(request, self.peer.port());
        }
        match fault {
            Fault::Drop | Fault::ApplyThenDrop => {
                self.shared.decided(number, None);
                Some(End::Close)
            }
            Fault::Reset => {
                self.shared.decided(number, None);
                self.reset();
                None
            }
            Fault::Silent => {
                self.shared.decided(number, None);
                Some(End::LeaveToClient)
            }
            fault => {
                let answer =
                    replacement(&fault).unwrap_or_else(|| self.shared.answer(request, self.peer.port()));
                self.decide(number, Wire::faulty(answer, request, &fault)).await
            }
        }
    }

    async fn decide(&mut self, number: u64, wire: Wire) -> Option<End> {
        self.shared.decided(number, wire.status);
        self.send(wire).await
    }

    /// Sends an answer; `None` when the client is gone.
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
                // The end then travels with the last bytes, so that the client cannot be quicker to close.
                SockRef::from(&self.stream).set_tcp_cork(true)?;
            }
            self.stream.write_all(&bytes).await?;
            return tokio::io::copy(&mut tokio::io::repeat(b'x').take(filler), &mut self.stream)
                .await
                .map(drop);
        };
        for (index, drip) in bytes.chunks(size).enumerate() {
            if index > 0 {
                self.pause(rest).await;
            }
            self.stream.write_all(drip).await?;
        }
        Ok(())
    }

    /// Waits, and notes when the client closes in the meantime.
    async fn pause(&self, length: Duration) {
        let end = Instant::now() + length;
        while Instant::now() < end {
            self.look();
            sleep_until(end.min(Instant::now() + LOOK)).await;
        }
    }

    /// Notes it if the client has closed already.
    fn look(&self) {
        match SockRef::from(&self.stream).peek(&mut [MaybeUninit::uninit()]) {
            Ok(0) => self.client_closed(How::Fin),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => self.client_closed(How::Rst),
            _ => {}
        }
    }

    /// Closes in good order: what was sent arrives, whatever the client still sends.
    async fn close(&mut self) {
        self.look();
        self.shared.closed(self.id, Side::Server, How::Fin);
        // Fails only when the client is gone, and then there is nothing left to do.
        drop(self.stream.shutdown().await);
        drop(timeout(LINGER, self.drain()).await);
    }

    fn reset(&mut self) {
        self.look();
        self.shared.closed(self.id, Side::Server, How::Rst);
        // With a zero linger, dropping the stream sends a reset.
        drop(SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)));
    }

    /// Says nothing until the client closes.
    async fn ignore(&mut self) {
        let how = self.drain().await;
        self.client_closed(how);
    }

    /// Sends without end, until the client closes.
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

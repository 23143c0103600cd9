//! The listening sockets. Each has a task, which closes it while an order refuses connections and then opens it again.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;

use super::connection;
use super::shared::Shared;
use super::tls::Tls;

/// A command to a listener's task: close or open the socket, then call `done` with the result.
pub(crate) struct Command {
    pub(crate) refuse: bool,
    pub(crate) done: Box<dyn FnOnce(io::Result<()>) + Send>,
}

/// An address, whether connections to it use TLS and, unless connections are refused, the socket that listens there.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    pub(crate) socket: Option<TcpListener>,
    pub(crate) tls: Option<Tls>,
}

/// Listens on one address, for its own family only.
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections that the server closed stay in TIME_WAIT. A restart must not wait for them.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(1024)?;
    Ok(socket.into())
}

/// Accepts connections until the sender of commands is dropped.
pub(crate) async fn accept_loop(
    listening: Listening,
    mut commands: UnboundedReceiver<Command>,
    shared: Arc<Shared>,
) {
    let Listening { address, socket: mut listener, tls } = listening;
    loop {
        tokio::select! {
            biased;
            command = commands.recv() => {
                let Some(Command { refuse, done }) = command else { return };
                done(obey(&mut listener, address, refuse));
            }
            accepted = accept(listener.as_ref()) => match accepted {
                Ok((stream, peer)) => {
                    tokio::spawn(connection::run(stream, peer, tls.clone(), Arc::clone(&shared)));
                }
                // The client may be gone before the accept. The server must continue to serve other clients.
                Err(error) => eprintln!("scw-standin: cannot accept on {address}: {error}"),
            },
        }
    }
}

fn obey(listener: &mut Option<TcpListener>, address: SocketAddr, refuse: bool) -> io::Result<()> {
    if refuse {
        // A program that another thread starts has a copy of the socket until it is executed. So the end of this copy alone would not end
        // the listening, and the address would stay in use.
        if let Some(open) = listener.take() {
            SockRef::from(&open).shutdown(Shutdown::Both)?;
        }
    } else if listener.is_none() {
        *listener = Some(TcpListener::from_std(bind(address)?)?);
    }
    Ok(())
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_listener_accepts_no_ipv4() {
        // Only the wildcard address could accept both families.
        let socket = bind(SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0))).unwrap();
        assert!(socket2::SockRef::from(&socket).only_v6().unwrap());
    }

    #[tokio::test]
    async fn refusing_listener_leaves_its_address_to_the_next() {
        let socket = bind(SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = socket.local_addr().unwrap();
        // As a program has it that another thread is starting.
        let _copy = socket.try_clone().unwrap();
        let mut listener = Some(TcpListener::from_std(socket).unwrap());
        for _ in 0..2 {
            obey(&mut listener, address, true).unwrap();
            let refused = std::net::TcpStream::connect(address).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            obey(&mut listener, address, false).unwrap();
            std::net::TcpStream::connect(address).unwrap();
        }
    }
}

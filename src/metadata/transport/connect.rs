//! Opens a TCP connection to the service. The source port is bound and connected on one socket (invariant T2). IPv4 and IPv6 are
//! raced (invariant T3).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream as StdTcpStream};
use std::pin::pin;
use std::time::Duration;

use nix::errno::Errno;
use socket2::{Socket, Type};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};

use crate::metadata::error::ConnectError;
use crate::metadata::family::Family;

const PORT: u16 = 80;

/// systemd 261 can lock the metadata service with a `prohibit` route. Sockets with this mark pass the lock.
const SYSTEMD_MARK: u32 = 0x7FFF_0815;

/// How long the first family is tried alone. RFC 8305 recommends 250 ms for any host. The metadata service is on the hypervisor,
/// a fraction of a millisecond away, so a tenth of that is enough; and the second family costs only one SYN.
const HEAD_START: Duration = Duration::from_millis(25);

/// How long to wait before a second connection attempt over the same family. The kernel repeats a lost SYN after one second,
/// which is far too long here. The reply to the first SYN is often lost when an IPv6 address is so new that the kernel does not
/// accept packets for it yet. Two attempts are enough.
const SECOND_SYN_DELAY: Duration = Duration::from_millis(100);

/// Connects over the family that answers first. `first` has a short head start.
///
/// # Errors
/// The reason for each family, if both fail. A reset ends the race at once, because the service can be reached: the caller decides
/// what to do, without a wait for the other family, which may never answer.
pub(crate) async fn race(
    first: Family,
    ports: &[u16],
    limit: Duration,
) -> Result<(Family, TcpStream), Vec<(Family, ConnectError)>> {
    let second = first.other();
    let mut leader = pin!(connect(first, ports, limit));
    let mut follower = pin!(connect(second, ports, limit));
    let (family, result) = match timeout(HEAD_START, &mut leader).await {
        Ok(result) => (first, result),
        Err(_) => tokio::select! {
            result = &mut leader => (first, result),
            result = &mut follower => (second, result),
        },
    };
    let why = match result {
        Ok(stream) => return Ok((family, stream)),
        Err(why) if why.is_reset() => return Err(vec![(family, why)]),
        Err(why) => why,
    };
    // One family failed, so the other one decides.
    if family == first {
        let connected = follower.await.map(|stream| (second, stream));
        connected.map_err(|other| vec![(first, why), (second, other)])
    } else {
        let connected = leader.await.map(|stream| (first, stream));
        connected.map_err(|other| vec![(first, other), (second, why)])
    }
}

/// Connects over one family. Starts a second attempt if the first one gets no reply soon.
///
/// # Errors
/// The reason why both attempts failed.
pub(crate) async fn connect(
    family: Family,
    ports: &[u16],
    limit: Duration,
) -> Result<TcpStream, ConnectError> {
    let mut first = pin!(connect_once(family, ports, limit));
    if let Ok(connected) = timeout(SECOND_SYN_DELAY, &mut first).await {
        return connected;
    }
    let mut second = pin!(connect_once(family, ports, limit.saturating_sub(SECOND_SYN_DELAY)));
    tokio::select! {
        connected = &mut first => match connected {
            Err(_) => second.await,
            connected => connected,
        },
        connected = &mut second => match connected {
            Err(_) => first.await,
            connected => connected,
        },
    }
}

/// Connects over one family, from the first of `ports` that is available.
async fn connect_once(family: Family, ports: &[u16], limit: Duration) -> Result<TcpStream, ConnectError> {
    let deadline = Instant::now() + limit;
    let service = SocketAddr::new(family.address(), PORT);
    let (mut last, mut marked, mut forbidden) = (None, false, false);
    for port in ports {
        let bound = match bind(family, *port, marked) {
            Ok(bound) => bound,
            // To set a mark, a process needs CAP_NET_ADMIN, or CAP_NET_RAW from Linux 5.17 on.
            Err(why) if marked && is_errno(&why, Errno::EPERM) => return Err(ConnectError::Locked),
            Err(why) if is_errno(&why, Errno::EADDRINUSE) => continue,
            // This port only: with `ip_unprivileged_port_start`, other ports may be allowed.
            Err(why) if is_errno(&why, Errno::EACCES) => {
                forbidden = true;
                continue;
            }
            Err(why) => return Err(ConnectError::System(why)),
        };
        match timeout_at(deadline, TcpSocket::from_std_stream(bound).connect(service)).await {
            Ok(Ok(stream)) => return Ok(stream),
            // The four-tuple is in use: by another process that shares the port, or by a closed connection in TIME_WAIT.
            Ok(Err(why)) if is_errno(&why, Errno::EADDRNOTAVAIL) || is_errno(&why, Errno::EADDRINUSE) => {
                last = Some(why);
            }
            // A `prohibit` route. systemd's lock accepts sockets with its mark, so the next port is tried with the mark.
            Ok(Err(why)) if !marked && (is_errno(&why, Errno::EACCES) || is_errno(&why, Errno::EPERM)) => {
                (last, marked) = (Some(why), true);
            }
            Ok(Err(why)) => return Err(ConnectError::System(why)),
            Err(_) => return Err(ConnectError::TimedOut(limit)),
        }
    }
    // EADDRNOTAVAIL for every port means that the machine has no address of this family. So the kernel's error is returned.
    Err(last.map_or_else(|| no_port(forbidden), ConnectError::System))
}

/// The source address that the kernel chooses for the service, and whether the route needs systemd's mark. This connects a UDP
/// socket, which sends no packet.
///
/// # Errors
/// The kernel's error, if there is no route.
pub(crate) fn source_address(family: Family) -> io::Result<(IpAddr, bool)> {
    let address = |marked: bool| {
        let socket = Socket::new(family.domain(), Type::DGRAM.cloexec(), None)?;
        if marked {
            socket.set_mark(SYSTEMD_MARK)?;
        }
        socket.connect(&SocketAddr::new(family.address(), PORT).into())?;
        let local = socket.local_addr()?.as_socket();
        local.map(|local| local.ip()).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    };
    match address(false) {
        Err(why) if is_errno(&why, Errno::EACCES) => {
            address(true).map(|address| (address, true)).map_err(|_| why)
        }
        result => result.map(|address| (address, false)),
    }
}

/// Whether a route leads to the service without systemd's mark, over IPv4 or IPv6.
pub(crate) fn has_unmarked_route() -> bool {
    Family::BOTH.into_iter().any(|family| matches!(source_address(family), Ok((_, false))))
}

/// Tests whether a source port is available. Binds the first of `ports` that is available, and closes the socket again.
///
/// # Errors
/// The same as for a connection.
pub(crate) fn try_ports(family: Family, ports: &[u16]) -> Result<u16, ConnectError> {
    let mut forbidden = false;
    for port in ports {
        match bind(family, *port, false) {
            Ok(_) => return Ok(*port),
            Err(why) if is_errno(&why, Errno::EADDRINUSE) => {}
            Err(why) if is_errno(&why, Errno::EACCES) => forbidden = true,
            Err(why) => return Err(ConnectError::System(why)),
        }
    }
    Err(no_port(forbidden))
}

/// The error when no port could be bound. `forbidden`: the kernel denied this process some of the ports, so it needs a privilege,
/// and a retry would not help.
fn no_port(forbidden: bool) -> ConnectError {
    if forbidden { ConnectError::NotPermitted } else { ConnectError::NoSourcePort }
}

/// A socket that is bound to `port` on every local address of the family, with systemd's mark if `marked`.
fn bind(family: Family, port: u16, marked: bool) -> io::Result<StdTcpStream> {
    let any: IpAddr = match family {
        Family::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = Socket::new(family.domain(), Type::STREAM.nonblocking().cloexec(), None)?;
    if family == Family::Ipv6 {
        socket.set_only_v6(true)?;
    }
    if marked {
        socket.set_mark(SYSTEMD_MARK)?;
    }
    // Allows a port in TIME_WAIT to be used again at once.
    socket.set_reuse_address(true)?;
    // Until the service has closed its side, a close of this socket resets the connection. So, however this process ends, the
    // kernel keeps no TIME_WAIT on a privileged port (invariant T4).
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::new(any, port).into())?;
    Ok(socket.into())
}

fn is_errno(why: &io::Error, errno: Errno) -> bool {
    why.raw_os_error() == Some(errno as i32)
}

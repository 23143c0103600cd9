//! A TCP connection to the service: a source port bound and connected on one socket (law T2), both families raced (T3).

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

/// The mark of sockets that may pass when systemd 261 has locked the metadata service with a `prohibit` route.
const MARK: u32 = 0x7FFF_0815;

/// How long the family that is tried first has for itself. RFC 8305 says 250 ms for hosts anywhere; this one is the
/// hypervisor, a fraction of a millisecond away, so a tenth of that is a sign already, and trying both costs one SYN.
const HEAD_START: Duration = Duration::from_millis(25);

/// A lost SYN is sent again by the kernel after a second, which is far too long here: the answer to the very first one is lost
/// regularly when an IPv6 address is so new that the kernel does not take packets for it yet. Twice is enough.
const SECOND_SYN: Duration = Duration::from_millis(100);

/// Connects over whichever family answers first, `first` having a short head start.
///
/// # Errors
/// Why each family failed, when both did; or the first reset, since the service is there then: what to do about it is the caller's
/// business, and must not wait for a family that may be silent.
pub(crate) async fn race(
    first: Family,
    ports: &[u16],
    limit: Duration,
) -> Result<(Family, TcpStream), Vec<(Family, ConnectError)>> {
    let second = first.other();
    let mut leader = pin!(connect(first, ports, limit));
    let mut follower = pin!(connect(second, ports, limit));
    match timeout(HEAD_START, &mut leader).await {
        Ok(Ok(stream)) => return Ok((first, stream)),
        Ok(Err(why)) if why.is_reset() => return Err(vec![(first, why)]),
        Ok(Err(why)) => {
            return follower
                .await
                .map(|stream| (second, stream))
                .map_err(|other| vec![(first, why), (second, other)]);
        }
        Err(_) => {}
    }
    tokio::select! {
        result = &mut leader => match result {
            Ok(stream) => Ok((first, stream)),
            Err(why) if why.is_reset() => Err(vec![(first, why)]),
            Err(why) => follower.await.map(|stream| (second, stream)).map_err(|other| vec![(first, why), (second, other)]),
        },
        result = &mut follower => match result {
            Ok(stream) => Ok((second, stream)),
            Err(why) if why.is_reset() => Err(vec![(second, why)]),
            Err(why) => leader.await.map(|stream| (first, stream)).map_err(|other| vec![(first, other), (second, why)]),
        },
    }
}

/// Connects over one family, and asks a second time if there is no answer soon.
///
/// # Errors
/// Why it failed.
pub(crate) async fn connect(
    family: Family,
    ports: &[u16],
    limit: Duration,
) -> Result<TcpStream, ConnectError> {
    let mut first = pin!(connect_once(family, ports, limit));
    if let Ok(connected) = timeout(SECOND_SYN, &mut first).await {
        return connected;
    }
    let mut second = pin!(connect_once(family, ports, limit.saturating_sub(SECOND_SYN)));
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

/// Connects over one family, from the first of `ports` that can be had.
async fn connect_once(family: Family, ports: &[u16], limit: Duration) -> Result<TcpStream, ConnectError> {
    let deadline = Instant::now() + limit;
    let service = SocketAddr::new(family.address(), PORT);
    let (mut last, mut marked, mut forbidden) = (None, false, false);
    for port in ports {
        let bound = match bind(family, *port, marked) {
            Ok(bound) => bound,
            // Setting a mark takes CAP_NET_ADMIN, or CAP_NET_RAW from Linux 5.17 on.
            Err(why) if marked && is(&why, Errno::EPERM) => return Err(ConnectError::Locked),
            Err(why) if is(&why, Errno::EADDRINUSE) => continue,
            // Of this port only: `ip_unprivileged_port_start` may leave others to everybody.
            Err(why) if is(&why, Errno::EACCES) => {
                forbidden = true;
                continue;
            }
            Err(why) => return Err(ConnectError::System(why)),
        };
        match timeout_at(deadline, TcpSocket::from_std_stream(bound).connect(service)).await {
            Ok(Ok(stream)) => return Ok(stream),
            // The four-tuple is taken, by another process that shares the port or by a connection not yet forgotten.
            Ok(Err(why)) if is(&why, Errno::EADDRNOTAVAIL) || is(&why, Errno::EADDRINUSE) => last = Some(why),
            // A `prohibit` route. systemd's lock lets sockets through that bear its mark.
            Ok(Err(why)) if !marked && (is(&why, Errno::EACCES) || is(&why, Errno::EPERM)) => {
                (last, marked) = (Some(why), true);
            }
            Ok(Err(why)) => return Err(ConnectError::System(why)),
            Err(_) => return Err(ConnectError::TimedOut(limit)),
        }
    }
    // EADDRNOTAVAIL from every port is no matter of ports: the machine has no address of this family.
    Err(last.map_or_else(|| no_port(forbidden), ConnectError::System))
}

/// The source address that the kernel would choose, and whether that takes systemd's mark. Connecting a UDP socket sends nothing.
///
/// # Errors
/// The kernel's word on why there is no way.
pub(crate) fn source_address(family: Family) -> io::Result<(IpAddr, bool)> {
    let towards = |marked: bool| {
        let socket = Socket::new(family.domain(), Type::DGRAM.cloexec(), None)?;
        if marked {
            socket.set_mark(MARK)?;
        }
        socket.connect(&SocketAddr::new(family.address(), PORT).into())?;
        let local = socket.local_addr()?.as_socket();
        local.map(|local| local.ip()).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    };
    match towards(false) {
        Err(why) if is(&why, Errno::EACCES) => towards(true).map(|address| (address, true)).map_err(|_| why),
        found => found.map(|address| (address, false)),
    }
}

/// Binds, and lets go again, the first of `ports` that can be had: to see whether one can.
///
/// # Errors
/// As for connecting.
pub(crate) fn try_ports(family: Family, ports: &[u16]) -> Result<u16, ConnectError> {
    let mut forbidden = false;
    for port in ports {
        match bind(family, *port, false) {
            Ok(_) => return Ok(*port),
            Err(why) if is(&why, Errno::EADDRINUSE) => {}
            Err(why) if is(&why, Errno::EACCES) => forbidden = true,
            Err(why) => return Err(ConnectError::System(why)),
        }
    }
    Err(no_port(forbidden))
}

/// No port could be bound, some of them because the kernel forbids it to this process: then it takes the right to, and no patience.
fn no_port(forbidden: bool) -> ConnectError {
    if forbidden { ConnectError::NotPermitted } else { ConnectError::NoSourcePort }
}

/// A socket bound to `port` on every local address of the family, with systemd's mark if asked for.
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
        socket.set_mark(MARK)?;
    }
    // A port in TIME_WAIT serves again at once.
    socket.set_reuse_address(true)?;
    // Until the service has closed its side, our closing is a reset: however this process ends, the kernel is left
    // with no TIME_WAIT on a privileged port (law T4).
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::new(any, port).into())?;
    Ok(socket.into())
}

fn is(why: &io::Error, errno: Errno) -> bool {
    why.raw_os_error() == Some(errno as i32)
}

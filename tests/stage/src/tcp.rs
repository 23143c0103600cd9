//! The kernel's tables of TCP sockets in the calling thread's network namespace.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// One TCP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpEntry {
    /// The local address.
    pub local: SocketAddr,
    /// The remote address; for a listener it is unspecified, with port 0.
    pub remote: SocketAddr,
    /// Its state.
    pub state: TcpState,
}

/// The state of a TCP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the TCP specification")]
pub enum TcpState {
    Established,
    SynSent,
    SynReceived,
    FinWait1,
    FinWait2,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    Closing,
}

pub(crate) fn table() -> io::Result<Vec<TcpEntry>> {
    let mut entries = Vec::new();
    for file in ["tcp", "tcp6"] {
        let text = std::fs::read_to_string(format!("/proc/thread-self/net/{file}"))?;
        for line in text.lines().skip(1) {
            let entry = parse(line).ok_or_else(|| io::Error::other(format!("unknown line: {line}")))?;
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// The fields are `sl local_address rem_address st …`.
fn parse(line: &str) -> Option<TcpEntry> {
    let mut fields = line.split_whitespace().skip(1);
    let (local, remote) = (address(fields.next()?)?, address(fields.next()?)?);
    Some(TcpEntry { local, remote, state: state(fields.next()?)? })
}

/// The address is hexadecimal digits in groups of 32 bits, each in the machine's byte order. The port is in the usual order.
fn address(text: &str) -> Option<SocketAddr> {
    let (digits, port) = text.split_once(':')?;
    let mut bytes = Vec::new();
    for group in digits.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(group).ok()?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(bytes) => IpAddr::from(Ipv4Addr::from(bytes)),
        Err(_) => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

fn state(text: &str) -> Option<TcpState> {
    Some(match text {
        "01" => TcpState::Established,
        "02" => TcpState::SynSent,
        // 0C is a request socket of a listener, which is the same state for the peer.
        "03" | "0C" => TcpState::SynReceived,
        "04" => TcpState::FinWait1,
        "05" => TcpState::FinWait2,
        "06" => TcpState::TimeWait,
        "07" => TcpState::Close,
        "08" => TcpState::CloseWait,
        "09" => TcpState::LastAck,
        "0A" => TcpState::Listen,
        "0B" => TcpState::Closing,
        _ => return None,
    })
}

//! Finds out whether a resolver answers: sends a DNS query over UDP to the name servers in resolv.conf(5).
//!
//! This does not use libc: its lookups block the thread, for as long as resolv.conf says.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use crate::util::{files, random};

const PORT: u16 = 53;
/// The number of name servers that libc uses.
const MAX_SERVERS: usize = 3;
/// The limit for resolv.conf, in bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// The length of a DNS message's header, in bytes. The rest of an answer does not matter here.
const HEADER_LEN: usize = 12;

/// The name servers that libc would use. Empty if the file does not exist (yet).
pub(crate) fn configured(resolv_conf: &Path) -> Vec<SocketAddr> {
    let text = files::read_bounded(resolv_conf, MAX_FILE_BYTES).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let addresses = text.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        (fields.next()? == "nameserver").then(|| fields.next()).flatten().and_then(address)
    });
    addresses.take(MAX_SERVERS).collect()
}

/// Parses an address in resolv.conf. A link-local address ends with `%` and the name of its interface.
fn address(text: &str) -> Option<SocketAddr> {
    let Some((address, interface)) = text.split_once('%') else {
        return Some(SocketAddr::new(text.parse().ok()?, PORT));
    };
    let is_name = !interface.is_empty() && !interface.contains('/') && !interface.starts_with('.');
    let index = fs::read_to_string(format!("/sys/class/net/{interface}/ifindex")).ok().filter(|_| is_name)?;
    Some(SocketAddrV6::new(address.parse().ok()?, PORT, 0, index.trim().parse().ok()?).into())
}

/// One query, which can be sent several times. A late answer to an earlier attempt is accepted.
pub(crate) struct DnsQuery {
    id: [u8; 2],
    ipv4: Option<UdpSocket>,
    ipv6: Option<UdpSocket>,
}

impl DnsQuery {
    /// Opens a socket for each address family that the machine has.
    pub(crate) async fn new() -> Self {
        Self {
            id: random::generator().u16(..).to_be_bytes(),
            ipv4: UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok(),
            ipv6: UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await.ok(),
        }
    }

    /// Asks each of these resolvers once. Returns the first one that answers, or none if `until` is reached.
    pub(crate) async fn ask(&self, resolvers: &[SocketAddr], until: Instant) -> Option<IpAddr> {
        for resolver in resolvers {
            let socket = if resolver.is_ipv4() { &self.ipv4 } else { &self.ipv6 };
            if let Some(socket) = socket {
                // Without a route, it cannot be sent. The next attempt may succeed.
                let _ = socket.try_send_to(&query(self.id), *resolver);
            }
        }
        loop {
            let received = tokio::select! {
                () = sleep_until(until) => return None,
                received = receive(self.ipv4.as_ref()) => received,
                received = receive(self.ipv6.as_ref()) => received,
            };
            let Ok((header, from)) = received else {
                sleep_until(until).await;
                return None;
            };
            let is_asked = resolvers.iter().any(|asked| (asked.ip(), PORT) == (from.ip(), from.port()));
            if is_asked && is_answer(header, self.id, from.ip()) {
                return Some(from.ip());
            }
        }
    }
}

/// The header of the next datagram. Without a socket, this never returns.
async fn receive(socket: Option<&UdpSocket>) -> io::Result<([u8; HEADER_LEN], SocketAddr)> {
    let Some(socket) = socket else { return std::future::pending().await };
    let mut header = [0; HEADER_LEN];
    let (_, from) = socket.recv_from(&mut header).await?;
    Ok((header, from))
}

/// The query for the name servers of the root. Every resolver can answer it, and it discloses nothing about this machine.
fn query([first, second]: [u8; 2]) -> [u8; HEADER_LEN + 5] {
    const RECURSION_DESIRED: u8 = 1;
    const NS: u8 = 2;
    const IN: u8 = 1;
    [first, second, RECURSION_DESIRED, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, NS, 0, IN]
}

/// Whether a datagram with this header answers the query and shows that the network is ready.
///
/// A resolver on this machine answers with an error as long as it cannot reach another resolver, so its error is ignored. An error from
/// another machine is accepted: the network is ready.
fn is_answer(header: [u8; HEADER_LEN], id: [u8; 2], from: IpAddr) -> bool {
    let [first, second, flags, code, ..] = header;
    let is_response = flags & 0x80 != 0;
    let (no_error, no_such_name) = (0, 3);
    let resolves = [no_error, no_such_name].contains(&(code & 0x0f));
    [first, second] == id && is_response && (resolves || !from.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_is_read_as_by_libc() {
        let folder = std::env::temp_dir().join(format!("scw-agent-dns-{:x}", random::generator().u64(..)));
        fs::create_dir(&folder).expect("made");
        let path = folder.join("resolv.conf");
        assert_eq!(configured(&path), []);
        let text = "# nameserver 192.0.2.9\nsearch example\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 # x\n\
                    nameserver fe80::1%lo\nnameserver 192.0.2.2\nnameserver nonsense\n";
        fs::write(&path, text).expect("written");
        let servers: Vec<_> = configured(&path).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%1]:53"]);
        for wrong in ["fe80::1%", "fe80::1%no-such-interface", "fe80::1%../lo", "192.0.2.1%lo", "%lo"] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn answer_is_accepted_if_its_resolver_can_resolve() {
        let (id, here, elsewhere) = ([1, 2], IpAddr::from([127, 0, 0, 53]), IpAddr::from([192, 0, 2, 1]));
        for (bytes, from, expected) in [
            ([1, 2, 0x81, 0x80], here, true),
            ([1, 2, 0x81, 0x83], here, true),
            ([1, 2, 0x81, 0x82], here, false),
            ([1, 2, 0x81, 0x85], here, false),
            ([1, 2, 0x81, 0x85], elsewhere, true),
            // The query itself, and an answer to another query.
            ([1, 2, 0x01, 0x00], elsewhere, false),
            ([1, 3, 0x81, 0x80], elsewhere, false),
        ] {
            let mut header = [0; HEADER_LEN];
            header[..4].copy_from_slice(&bytes);
            assert_eq!(is_answer(header, id, from), expected, "{bytes:?} from {from}");
        }
    }
}

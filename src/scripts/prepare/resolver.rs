//! Whether a resolver answers: a question of our own over UDP, to the name servers in resolv.conf(5).
//!
//! libc is not asked: its lookups block the thread, for as long as resolv.conf says.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use crate::util::files;
use crate::util::random;

const PORT: u16 = 53;
/// As many as libc uses.
const MOST: usize = 3;
const LARGEST_FILE: u64 = 64 * 1024;
/// A DNS message's header, in bytes. The rest of an answer does not matter here.
const HEADER: usize = 12;

/// The name servers that libc would use; none where there is no such file (yet).
pub(crate) fn configured(resolv_conf: &Path) -> Vec<SocketAddr> {
    let text = files::read_bounded(resolv_conf, LARGEST_FILE).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let addresses = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next()? == "nameserver").then(|| words.next()).flatten().and_then(address)
    });
    addresses.take(MOST).collect()
}

/// An address as resolv.conf has it: one of a link has the name of its interface behind a `%`.
fn address(text: &str) -> Option<SocketAddr> {
    let Some((address, interface)) = text.split_once('%') else {
        return Some(SocketAddr::new(text.parse().ok()?, PORT));
    };
    let is_name = !interface.is_empty() && !interface.contains('/') && !interface.starts_with('.');
    let index = fs::read_to_string(format!("/sys/class/net/{interface}/ifindex")).ok().filter(|_| is_name)?;
    Some(SocketAddrV6::new(address.parse().ok()?, PORT, 0, index.trim().parse().ok()?).into())
}

/// One question, which may be asked again and again; a late answer to an earlier try counts.
pub(crate) struct DnsQuery {
    id: [u8; 2],
    ipv4: Option<UdpSocket>,
    ipv6: Option<UdpSocket>,
}

impl DnsQuery {
    /// A family that the machine does not have is left out.
    pub(crate) async fn new() -> Self {
        Self {
            id: random::generator().u16(..).to_be_bytes(),
            ipv4: UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok(),
            ipv6: UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await.ok(),
        }
    }

    /// Asks each of these once. Returns the first one that answers, or none when the time is up.
    pub(crate) async fn ask(&self, resolvers: &[SocketAddr], until: Instant) -> Option<IpAddr> {
        for resolver in resolvers {
            let socket = if resolver.is_ipv4() { &self.ipv4 } else { &self.ipv6 };
            if let Some(socket) = socket {
                // Without a route it cannot be sent; the next try may.
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
            if is_asked && counts(header, self.id, from.ip()) {
                return Some(from.ip());
            }
        }
    }
}

/// The header of the next datagram; for ever nothing where there is no socket.
async fn receive(socket: Option<&UdpSocket>) -> io::Result<([u8; HEADER], SocketAddr)> {
    let Some(socket) = socket else { return std::future::pending().await };
    let mut header = [0; HEADER];
    let (_, from) = socket.recv_from(&mut header).await?;
    Ok((header, from))
}

/// Which name servers the root has: every resolver knows it, and it tells nobody what this machine is for.
fn query([first, second]: [u8; 2]) -> [u8; HEADER + 5] {
    const RECURSION_DESIRED: u8 = 1;
    const NS: u8 = 2;
    const IN: u8 = 1;
    [first, second, RECURSION_DESIRED, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, NS, 0, IN]
}

/// Whether it is an answer to that question from a resolver that can resolve. One on this machine answers before it has anybody to ask itself,
/// with a failure or a refusal: that does not count. From elsewhere it does: the network is there.
fn counts(header: [u8; HEADER], id: [u8; 2], from: IpAddr) -> bool {
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
    fn resolv_conf_is_read_as_libc_reads_it() {
        let folder = std::env::temp_dir().join(format!("scw-agent-dns-{:x}", random::generator().u64(..)));
        fs::create_dir(&folder).expect("made");
        let path = folder.join("resolv.conf");
        assert_eq!(configured(&path), []);
        let text = "# nameserver 192.0.2.9\nsearch example\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 # x\n\
                    nameserver fe80::1%lo\nnameserver 192.0.2.2\nnameserver nonsense\n";
        fs::write(&path, text).expect("written");
        let found: Vec<_> = configured(&path).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%1]:53"]);
        for wrong in ["fe80::1%", "fe80::1%no-such-interface", "fe80::1%../lo", "192.0.2.1%lo", "%lo"] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn an_answer_counts_when_its_resolver_can_resolve() {
        let (id, here, elsewhere) = ([1, 2], IpAddr::from([127, 0, 0, 53]), IpAddr::from([192, 0, 2, 1]));
        for (bytes, from, expected) in [
            ([1, 2, 0x81, 0x80], here, true),
            ([1, 2, 0x81, 0x83], here, true),
            ([1, 2, 0x81, 0x82], here, false),
            ([1, 2, 0x81, 0x85], here, false),
            ([1, 2, 0x81, 0x85], elsewhere, true),
            // The question itself, and an answer to another one.
            ([1, 2, 0x01, 0x00], elsewhere, false),
            ([1, 3, 0x81, 0x80], elsewhere, false),
        ] {
            let mut header = [0; HEADER];
            header[..4].copy_from_slice(&bytes);
            assert_eq!(counts(header, id, from), expected, "{bytes:?} from {from}");
        }
    }
}

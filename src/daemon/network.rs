//! Detects that the network comes up (invariant T6): the kernel reports each new address and route over
//! rtnetlink.
//!
//! Only new addresses and routes matter, and their content does not: they are a reason to try now what would
//! be tried later anyway. Where the kernel does not allow the subscription, the timed retries remain.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The multicast groups of rtnetlink(7) for the addresses and routes of both families.
const MULTICAST_GROUPS: u32 = 0x10 | 0x40 | 0x100 | 0x400;
/// The message types `RTM_NEWADDR` and `RTM_NEWROUTE`.
const NEW_ADDRESS_OR_ROUTE: [u16; 2] = [20, 24];
const HEADER_BYTES: usize = 16;

/// A subscription to new addresses and routes.
pub(crate) struct NetworkEvents(AsyncFd<OwnedFd>);

impl NetworkEvents {
    /// Subscribes; this needs no privilege.
    pub(crate) fn subscribe() -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, MULTICAST_GROUPS))?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe; what makes that so cannot be with an OwnedFd"
        )]
        let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
        Ok(Self(socket))
    }

    /// Waits for the next new address or route. All messages that have arrived by then are reported as one
    /// event.
    pub(crate) async fn next(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            let mut found_new = false;
            let drained = ready.try_io(|socket| {
                let mut buffer = [0; 16 * 1024];
                loop {
                    match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                        Ok(length) => found_new |= has_new_address_or_route(&buffer[..length]),
                        // The kernel's buffer overflowed, so there surely was something new.
                        Err(Errno::ENOBUFS) => found_new = true,
                        Err(Errno::EINTR) => {}
                        Err(why) => return Err(io::Error::from(why)),
                    }
                }
            });
            match drained {
                // "Would block" means that all messages are read.
                Err(_) if found_new => return Ok(()),
                Err(_) | Ok(Ok(())) => {}
                Ok(Err(why)) => return Err(why),
            }
        }
    }
}

/// Whether a datagram of netlink messages reports a new address or route.
fn has_new_address_or_route(mut messages: &[u8]) -> bool {
    while let (Some(length), Some(kind)) = (messages.first_chunk::<4>(), messages.get(4..6)) {
        if NEW_ADDRESS_OR_ROUTE.contains(&u16::from_ne_bytes([kind[0], kind[1]])) {
            return true;
        }
        let length = u32::from_ne_bytes(*length) as usize;
        // Messages are padded to multiples of four bytes. A message that claims to be shorter than its header
        // would cause an endless loop.
        let Some(rest) = messages.get(length.next_multiple_of(4).max(HEADER_BYTES)..) else { return false };
        messages = rest;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: usize) -> Vec<u8> {
        let length = u32::try_from(HEADER_BYTES + body).expect("small");
        let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes()].concat();
        bytes.resize((HEADER_BYTES + body).next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn t6_only_new_address_or_route_is_reported() {
        let (new_link, new_address, gone_address, new_route, gone_route) = (16, 20, 21, 24, 25);
        for (messages, found_new) in [
            (vec![], false),
            (message(new_address, 20), true),
            (message(new_route, 33), true),
            ([message(gone_route, 5), message(new_route, 8)].concat(), true),
            ([message(new_link, 7), message(gone_address, 0), message(gone_route, 9)].concat(), false),
            (message(gone_route, 8)[..10].to_vec(), false),
        ] {
            assert_eq!(has_new_address_or_route(&messages), found_new, "{messages:?}");
        }
    }

    #[test]
    fn message_with_wrong_length_ends_the_reading() {
        for length in [0_u32, 1, 15, u32::MAX] {
            let mut bytes = message(25, 4);
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            assert!(!has_new_address_or_route(&bytes));
        }
    }
}

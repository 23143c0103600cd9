//! The network coming up, as an event (law T6): the kernel tells of each new address and route over rtnetlink.
//!
//! Only new ones count, and what they say does not: they are a reason to try now what would be tried later anyway. Where the kernel
//! does not let us subscribe, the timed retries remain.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Multicast groups of rtnetlink(7): addresses and routes of both families.
const GROUPS: u32 = 0x10 | 0x40 | 0x100 | 0x400;
/// `RTM_NEWADDR` and `RTM_NEWROUTE`.
const NEWS: [u16; 2] = [20, 24];
const HEADER: usize = 16;

/// A subscription.
pub(crate) struct NetworkNews(AsyncFd<OwnedFd>);

impl NetworkNews {
    /// Subscribes, without any right.
    pub(crate) fn subscribe() -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe; what makes that so cannot be with an OwnedFd"
        )]
        let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
        Ok(Self(socket))
    }

    /// Waits for the next new address or route. All that has come by then counts as one.
    pub(crate) async fn next(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            let mut news = false;
            let drained = ready.try_io(|socket| {
                let mut buffer = [0; 16 * 1024];
                loop {
                    match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                        Ok(length) => news |= is_news(&buffer[..length]),
                        // More came than the kernel kept for us: surely something new.
                        Err(Errno::ENOBUFS) => news = true,
                        Err(Errno::EINTR) => {}
                        Err(why) => return Err(io::Error::from(why)),
                    }
                }
            });
            match drained {
                // "Would block" is the end of what there was.
                Err(_) if news => return Ok(()),
                Err(_) | Ok(Ok(())) => {}
                Ok(Err(why)) => return Err(why),
            }
        }
    }
}

/// Whether a datagram of netlink messages tells of a new address or route.
fn is_news(mut messages: &[u8]) -> bool {
    while let (Some(length), Some(kind)) = (messages.first_chunk::<4>(), messages.get(4..6)) {
        if NEWS.contains(&u16::from_ne_bytes([kind[0], kind[1]])) {
            return true;
        }
        let length = u32::from_ne_bytes(*length) as usize;
        // Messages are padded to multiples of four; one that claims less than its header would never end.
        let Some(rest) = messages.get(length.next_multiple_of(4).max(HEADER)..) else { return false };
        messages = rest;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: usize) -> Vec<u8> {
        let length = u32::try_from(HEADER + body).expect("small");
        let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes()].concat();
        bytes.resize((HEADER + body).next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn t6_only_a_new_address_or_route_is_news() {
        let (new_link, new_address, gone_address, new_route, gone_route) = (16, 20, 21, 24, 25);
        for (messages, news) in [
            (vec![], false),
            (message(new_address, 20), true),
            (message(new_route, 33), true),
            ([message(gone_route, 5), message(new_route, 8)].concat(), true),
            ([message(new_link, 7), message(gone_address, 0), message(gone_route, 9)].concat(), false),
            (message(gone_route, 8)[..10].to_vec(), false),
        ] {
            assert_eq!(is_news(&messages), news, "{messages:?}");
        }
    }

    #[test]
    fn a_message_that_lies_about_its_length_ends_the_reading() {
        for length in [0_u32, 1, 15, u32::MAX] {
            let mut bytes = message(25, 4);
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            assert!(!is_news(&bytes));
        }
    }
}

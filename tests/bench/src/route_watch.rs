//! When the kernel told of a new route: an rtnetlink subscription of our own, beside the daemon's.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

/// Multicast groups of rtnetlink(7): routes of both families.
const ROUTES: u32 = 0x40 | 0x400;
const NEW_ROUTE: u16 = 24;

/// Collects the instants at which routes were added.
pub(crate) struct RouteWatch(Receiver<Instant>);

impl RouteWatch {
    /// Watches the calling thread's network for as long as the process lives.
    pub(crate) fn start() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, ROUTES))?;
        let (told, instants) = channel();
        thread::spawn(move || {
            while let Ok(true) = new_route(&socket) {
                if told.send(Instant::now()).is_err() {
                    return;
                }
            }
        });
        Ok(Self(instants))
    }

    /// The last route that was added by `until`, of those not yet asked for.
    pub(crate) fn last_before(&self, until: Instant) -> Option<Instant> {
        self.0.try_iter().take_while(|instant| *instant <= until).last()
    }

    /// Forgets what there was.
    pub(crate) fn clear(&self) {
        self.0.try_iter().for_each(drop);
    }
}

/// Waits for the next news of a route.
fn new_route(socket: &OwnedFd) -> nix::Result<bool> {
    let mut buffer = [0; 8192];
    loop {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        // Each change of one route comes in a datagram of its own.
        if length >= 6 && u16::from_ne_bytes([buffer[4], buffer[5]]) == NEW_ROUTE {
            return Ok(true);
        }
    }
}

//! The times at which the kernel reported new routes, from an rtnetlink subscription of this program.

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
    /// Watches the calling thread's network until the process ends.
    pub(crate) fn start() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, ROUTES))?;
        let (sender, instants) = channel();
        thread::spawn(move || {
            while let Ok(true) = new_route(&socket) {
                if sender.send(Instant::now()).is_err() {
                    return;
                }
            }
        });
        Ok(Self(instants))
    }

    /// When the last route was added that is not later than `until`. Considers only routes since the last call.
    pub(crate) fn last_before(&self, until: Instant) -> Option<Instant> {
        self.0.try_iter().take_while(|instant| *instant <= until).last()
    }

    /// Discards the routes so far.
    pub(crate) fn clear(&self) {
        self.0.try_iter().for_each(drop);
    }
}

/// Waits for the next notification of a new route.
fn new_route(socket: &OwnedFd) -> nix::Result<bool> {
    let mut buffer = [0; 8192];
    loop {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        // The kernel sends one datagram for each changed route.
        if length >= 6 && u16::from_ne_bytes([buffer[4], buffer[5]]) == NEW_ROUTE {
            return Ok(true);
        }
    }
}

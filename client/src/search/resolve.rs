//! The addresses of a name. The resolver has no limit of its own, so it runs beside the run.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc::channel;
use std::thread;

use crate::instances::list::canonical;
use crate::util::deadline::Deadline;

/// More addresses are not asked about.
const MAX: usize = 8;

/// The addresses; none if the name does not resolve in time.
pub(super) fn addresses(host: &str, deadline: Deadline) -> Vec<IpAddr> {
    let (sender, receiver) = channel();
    let host = host.to_owned();
    // Without a thread, nothing resolves.
    drop(thread::Builder::new().spawn(move || {
        let resolved = (host.as_str(), 0).to_socket_addrs();
        let addresses = resolved.map(|all| all.map(|one| one.ip()).collect::<Vec<_>>());
        drop(sender.send(addresses.unwrap_or_default()));
    }));
    let mut addresses = receiver.recv_timeout(deadline.left().unwrap_or_default()).unwrap_or_default();
    addresses.iter_mut().for_each(|address| *address = canonical(*address));
    let mut all = Vec::new();
    for address in addresses {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    all.truncate(MAX);
    all
}

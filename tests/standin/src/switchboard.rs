//! Puts orders in force: the book for requests, and the listeners for `refuse`. It decides nothing itself.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};

use tokio::sync::mpsc::UnboundedSender;

use crate::faults::{Book, Order};
use crate::server::{Command, Shared};

/// The way to the shared state and to all listeners.
#[derive(Debug)]
pub(crate) struct Switchboard {
    pub(crate) shared: Arc<Shared>,
    pub(crate) listeners: Vec<(SocketAddr, UnboundedSender<Command>)>,
}

impl Switchboard {
    /// Replaces the orders, which must have been checked, and calls `done` once per listener, when it is
    /// closed or open as they say.
    pub(crate) fn put_in_force(
        &self,
        orders: Vec<Order>,
        done: impl Fn(SocketAddr, io::Result<()>) + Clone + Send + 'static,
    ) {
        self.shared.set_book(Book::new(orders));
        for (address, listener) in &self.listeners {
            let (address, done) = (*address, done.clone());
            let refuse = self.shared.refuses(address);
            let command = Command { refuse, done: Box::new(move |result| done(address, result)) };
            // A listener's task ends with the server only, and nobody can ask a server that has ended.
            drop(listener.send(command));
        }
    }

    /// As above, and waits. Not for the server's own thread, which has to do the work.
    pub(crate) fn put_in_force_and_wait(&self, orders: Vec<Order>) -> Result<(), (SocketAddr, io::Error)> {
        let (sender, receiver) = mpsc::channel();
        self.put_in_force(orders, move |address, result| {
            drop(sender.send(result.map_err(|error| (address, error))));
        });
        receiver.iter().collect()
    }
}

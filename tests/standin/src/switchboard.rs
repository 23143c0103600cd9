//! Puts orders in force: in the book for requests, and in the listeners for `refuse`.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};

use tokio::sync::mpsc::UnboundedSender;

use crate::faults::{Book, Order};
use crate::server::{Command, Shared};

/// The shared state, and the channels to all listeners.
#[derive(Debug)]
pub(crate) struct Switchboard {
    pub(crate) shared: Arc<Shared>,
    pub(crate) listeners: Vec<(SocketAddr, UnboundedSender<Command>)>,
}

impl Switchboard {
    /// Replaces the orders, which must have been checked. Calls `done` once for each listener, after it was closed or opened as the orders
    /// require.
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
            // A listener's task ends only with the server, and a stopped server receives no command.
            drop(listener.send(command));
        }
    }

    /// The same, but waits for the listeners. Must not be called on the server's thread, which has to do the work.
    pub(crate) fn put_in_force_and_wait(&self, orders: Vec<Order>) -> Result<(), (SocketAddr, io::Error)> {
        let (sender, receiver) = mpsc::channel();
        self.put_in_force(orders, move |address, result| {
            drop(sender.send(result.map_err(|error| (address, error))));
        });
        receiver.iter().collect()
    }
}

//! The client of the Metadata API: one connection for all its requests, made when needed, and made again once when lost.

use tokio::time::timeout;

use super::answer::{Ask, Response};
use super::connect::{self, Family};
use super::connection::Connection;
use super::error::{Step, TransportError};
use super::exchange::Limits;
use super::request::Request;
use super::source_port::{self, Reserved};
use crate::random;

/// Asks the Metadata API itself. Needs root or `CAP_NET_BIND_SERVICE`.
pub struct Client {
    limits: Limits,
    closing: bool,
    reserved: Reserved,
    random: fastrand::Rng,
    winner: Option<Family>,
    connection: Option<Connection>,
}

impl Client {
    /// A client for many requests, which share a connection for as long as the service leaves it open.
    pub fn new(limits: Limits) -> Self {
        let reserved = Reserved::of_this_machine();
        Self { limits, closing: false, reserved, random: random::generator(), winner: None, connection: None }
    }

    /// A client for one request, which tells the service to close the connection after it (law T4).
    pub fn for_one_request(limits: Limits) -> Self {
        Self { closing: true, ..Self::new(limits) }
    }

    /// The family that answered last, forgotten when it fails (law T3).
    pub fn family(&self) -> Option<Family> {
        self.winner
    }

    /// Lets a connection that the service was told to close be closed by it; any other is reset.
    pub async fn finish(self) {
        match self.connection {
            Some(connection) if self.closing => connection.closed().await,
            _ => {}
        }
    }

    async fn within_bounds(&mut self, request: &Request) -> Result<Response, TransportError> {
        let whole = self.limits.whole;
        let answer = match timeout(whole, self.twice(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(TransportError::TimedOut { step: Step::Whole, after: whole }),
        };
        if answer.is_err() {
            // Whatever is left of it, a late answer must not be taken for the next question's.
            self.connection = None;
            self.winner = None;
        }
        answer
    }

    /// A connection that goes away under a request is met with one new connection. Every request may be repeated:
    /// reading changes nothing, and a write is of a whole value.
    async fn twice(&mut self, request: &Request) -> Result<Response, TransportError> {
        match self.once(request).await {
            Err(TransportError::Cut(_)) => {
                self.connection = None;
                self.once(request).await
            }
            answer => answer,
        }
    }

    async fn once(&mut self, request: &Request) -> Result<Response, TransportError> {
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.is_closed() => connection,
            _ => self.connect().await?,
        };
        let answer = connection.ask(request, &self.limits, self.closing).await?;
        self.connection = Some(connection);
        Ok(answer)
    }

    async fn connect(&mut self) -> Result<Connection, TransportError> {
        let ports = source_port::order(&self.reserved, &mut self.random);
        let first = self.winner.unwrap_or(Family::BOTH[0]);
        let (family, stream) =
            connect::race(first, &ports, self.limits.connect).await.map_err(TransportError::NotConnected)?;
        self.winner = Some(family);
        Connection::open(family, stream).await
    }
}

impl Ask for Client {
    async fn ask(&mut self, request: Request) -> Result<Response, TransportError> {
        self.within_bounds(&request).await
    }
}

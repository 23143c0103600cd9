//! The client of the Metadata API: one connection for all its requests, made when needed, and made again once when lost.

use tokio::time::timeout;

use crate::metadata::api::request::Request;
use crate::metadata::api::response::{Ask, Response};
use crate::metadata::error::{ConnectError, Step, TransportError};
use crate::metadata::family::Family;
use crate::metadata::transport::connect;
use crate::metadata::transport::connection::Connection;
use crate::metadata::transport::exchange::Limits;
use crate::metadata::transport::source_port;
use crate::metadata::transport::source_port::Reserved;
use crate::system::platform::PlatformProof;
use crate::util::random;

/// Bound to this port, a socket gets one of the kernel's choice, of 1024 or more.
const KERNELS_CHOICE: u16 = 0;

/// Asks the Metadata API itself. Needs root or `CAP_NET_BIND_SERVICE`, unless it is made [`Client::from_any_port`].
pub struct Client {
    limits: Limits,
    closing: bool,
    any_port: bool,
    reserved: Reserved,
    random: fastrand::Rng,
    only: Option<Family>,
    /// Which family has the head start in the next race.
    first: Family,
    winner: Option<Family>,
    connection: Option<Connection>,
}

impl Client {
    /// A client for many requests, which share a connection for as long as the service leaves it open.
    ///
    /// Takes the proof that the service may be trusted here (invariant P1).
    pub fn new(_: &PlatformProof, limits: Limits) -> Self {
        let reserved = Reserved::of_this_machine();
        let random = random::generator();
        Self {
            limits,
            closing: false,
            any_port: false,
            reserved,
            random,
            only: None,
            first: Family::BOTH[0],
            winner: None,
            connection: None,
        }
    }

    /// A client for one request, which tells the service to close the connection after it (law T4).
    pub fn for_one_request(proof: &PlatformProof, limits: Limits) -> Self {
        Self { closing: true, ..Self::new(proof, limits) }
    }

    /// A client for one request that the service answers whatever the source port is ([`Request::takes_any_port`]): it needs no
    /// capability. It sends no other request.
    pub fn from_any_port(proof: &PlatformProof, limits: Limits) -> Self {
        Self { any_port: true, ..Self::for_one_request(proof, limits) }
    }

    /// A client that knows one family only, to look at each by itself.
    pub fn over(family: Family, proof: &PlatformProof, limits: Limits) -> Self {
        Self { only: Some(family), first: family, ..Self::new(proof, limits) }
    }

    /// Other bounds, for the requests to come.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// From now on the service is told to close the connection after its answer.
    pub fn close_after_answer(&mut self) {
        self.closing = true;
    }

    /// Sees whether a source port can be had, without connecting.
    pub fn try_source_port(&mut self) -> Result<u16, ConnectError> {
        connect::try_ports(self.first, &source_port::order(&self.reserved, &mut self.random))
    }

    /// Connects now, and not with the first request.
    pub async fn open(&mut self) -> Result<(), TransportError> {
        self.connection = Some(self.connect().await?);
        Ok(())
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

    /// A connection that goes away under a request is met with one new connection, and a family that falls silent with the
    /// other one, if that can be had. Every request may be repeated: reading changes nothing, and a write is of a whole value.
    async fn twice(&mut self, request: &Request) -> Result<Response, TransportError> {
        match self.once(request).await {
            Err(TransportError::Cut(_)) => self.once(request).await,
            Err(why @ TransportError::TimedOut { .. }) if self.only.is_none() => {
                match self.connect_over(self.first).await {
                    Ok(connection) => {
                        self.connection = Some(connection);
                        self.once(request).await
                    }
                    Err(_) => Err(why),
                }
            }
            answer => answer,
        }
    }

    async fn once(&mut self, request: &Request) -> Result<Response, TransportError> {
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.is_closed() => connection,
            _ => self.connect().await?,
        };
        let family = connection.family;
        // What fails here fails on this family: the other one has the head start next time (law T3).
        self.first = family.other();
        let answer = connection.ask(request, &self.limits, self.closing).await?;
        (self.first, self.winner, self.connection) = (family, Some(family), Some(connection));
        Ok(answer)
    }

    async fn connect(&mut self) -> Result<Connection, TransportError> {
        if let Some(family) = self.only {
            return self.connect_over(family).await;
        }
        let ports = self.ports();
        let raced = connect::race(self.first, &ports, self.limits.connect).await;
        let (family, stream) = raced.map_err(|tried| self.not_connected(tried))?;
        Connection::open(family, stream).await
    }

    async fn connect_over(&mut self, family: Family) -> Result<Connection, TransportError> {
        let ports = self.ports();
        let connected = connect::connect(family, &ports, self.limits.connect).await;
        let stream = connected.map_err(|why| self.not_connected(vec![(family, why)]))?;
        Connection::open(family, stream).await
    }

    /// The source ports to try, in their order.
    fn ports(&mut self) -> Vec<u16> {
        if self.any_port {
            vec![KERNELS_CHOICE; 3]
        } else {
            source_port::order(&self.reserved, &mut self.random)
        }
    }

    /// A reset comes from a service that accepted the connection: it is there, and cut us off. The other family has the head start
    /// next time, as after any cut.
    fn not_connected(&mut self, tried: Vec<(Family, ConnectError)>) -> TransportError {
        match tried.iter().find(|(_, why)| why.is_reset()) {
            Some((family, why)) => {
                self.first = family.other();
                TransportError::Cut(why.to_string())
            }
            None => TransportError::NotConnected(tried),
        }
    }
}

impl Ask for Client {
    async fn ask(&mut self, request: Request) -> Result<Response, TransportError> {
        if self.any_port && !request.takes_any_port() {
            return Err(TransportError::NotConnected(vec![(self.first, ConnectError::NotPermitted)]));
        }
        self.within_bounds(&request).await
    }
}

//! The client of the Metadata API. All its requests share one connection, which is opened when needed. If the connection is lost,
//! the client opens a new one, once for each request.

use tokio::time::timeout;

use crate::metadata::api::request::Request;
use crate::metadata::api::response::{Ask, Response};
use crate::metadata::error::{ConnectError, Step, TransportError};
use crate::metadata::family::Family;
use crate::metadata::transport::connect;
use crate::metadata::transport::connection::Connection;
use crate::metadata::transport::exchange::Limits;
use crate::metadata::transport::source_port::PortGroups;
use crate::system::platform::PlatformProof;
use crate::util::random;

/// If a socket is bound to this port, the kernel chooses a port of 1024 or more.
const EPHEMERAL_PORT: u16 = 0;

/// Sends requests directly to the metadata service. Needs root or `CAP_NET_BIND_SERVICE`, except for [`Client::from_any_port`].
pub struct Client {
    limits: Limits,
    /// Whether each request asks the service to close the connection after its response.
    closing: bool,
    /// Whether any source port is used, and not one below 1024.
    any_port: bool,
    ports: PortGroups,
    random: fastrand::Rng,
    /// The only family to use, if the client is limited to one.
    only_family: Option<Family>,
    /// The family that has the head start in the next race.
    first_family: Family,
    /// The family that answered the last request; `None` if that request failed.
    last_family: Option<Family>,
    connection: Option<Connection>,
}

impl Client {
    /// A client for many requests. They share one connection for as long as the service keeps it open.
    ///
    /// Requires the proof that the service can be trusted on this machine (invariant P1).
    pub fn new(_: &PlatformProof, limits: Limits) -> Self {
        let ports = PortGroups::of_this_machine();
        let random = random::generator();
        Self {
            limits,
            closing: false,
            any_port: false,
            ports,
            random,
            only_family: None,
            first_family: Family::BOTH[0],
            last_family: None,
            connection: None,
        }
    }

    /// A client for one request, which asks the service to close the connection after its response (invariant T4).
    pub fn for_one_request(proof: &PlatformProof, limits: Limits) -> Self {
        Self { closing: true, ..Self::new(proof, limits) }
    }

    /// A client for one request that the service answers from any source port ([`Request::accepts_any_port`]). It needs no capability,
    /// and it sends no other request.
    pub fn from_any_port(proof: &PlatformProof, limits: Limits) -> Self {
        Self { any_port: true, ..Self::for_one_request(proof, limits) }
    }

    /// A client that uses one family only, to test each family separately.
    pub fn for_family(family: Family, proof: &PlatformProof, limits: Limits) -> Self {
        Self { only_family: Some(family), first_family: family, ..Self::new(proof, limits) }
    }

    /// Sets the limits for the following requests.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// From now on, each request asks the service to close the connection after its response.
    pub fn close_after_answer(&mut self) {
        self.closing = true;
    }

    /// Tests whether a source port is available, without a connection.
    pub fn try_source_port(&mut self) -> Result<u16, ConnectError> {
        connect::try_ports(self.first_family, &self.ports.in_order(&mut self.random))
    }

    /// Opens the connection now, before the first request.
    pub async fn open(&mut self) -> Result<(), TransportError> {
        self.connection = Some(self.connect().await?);
        Ok(())
    }

    /// The family that answered the last request; `None` if that request failed (invariant T3).
    pub fn family(&self) -> Option<Family> {
        self.last_family
    }

    /// Ends the client. If the service was asked to close the connection, this waits until it has done so. Otherwise the connection
    /// is reset.
    pub async fn finish(self) {
        match self.connection {
            Some(connection) if self.closing => connection.wait_until_closed().await,
            _ => {}
        }
    }

    /// Sends a request within the limit for the complete operation.
    async fn ask_within_limit(&mut self, request: &Request) -> Result<Response, TransportError> {
        let limit = self.limits.total;
        let answer = match timeout(limit, self.ask_twice(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(TransportError::TimedOut { step: Step::Total, after: limit }),
        };
        if answer.is_err() {
            // A late response on this connection must not be taken for the response to the next request.
            self.connection = None;
            self.last_family = None;
        }
        answer
    }

    /// Sends a request, and repeats it once if the first try fails. If the connection was lost, the request is repeated on a new
    /// connection. If a family did not answer in time, the request is repeated over the other family, if a connection can be opened.
    ///
    /// Every request may be repeated: a read changes nothing, and a write sets a complete value.
    async fn ask_twice(&mut self, request: &Request) -> Result<Response, TransportError> {
        match self.ask_once(request).await {
            (_, Err(TransportError::ConnectionLost(_))) => self.ask_once(request).await.1,
            (Some(family), Err(why @ TransportError::TimedOut { .. })) if self.only_family.is_none() => {
                match self.connect_over(family.other()).await {
                    Ok(connection) => {
                        self.connection = Some(connection);
                        self.ask_once(request).await.1
                    }
                    Err(_) => Err(why),
                }
            }
            (_, answer) => answer,
        }
    }

    /// Sends a request once. Returns the family over which it was sent, too; `None` if there was no connection.
    async fn ask_once(&mut self, request: &Request) -> (Option<Family>, Result<Response, TransportError>) {
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.is_closed() => connection,
            _ => match self.connect().await {
                Ok(connection) => connection,
                Err(why) => return (None, Err(why)),
            },
        };
        let family = connection.family;
        // If the request fails, the other family has the head start next time (invariant T3). This is set before the request,
        // because the timeout of the complete operation drops this future during the request.
        self.first_family = family.other();
        let answer = connection.ask(request, &self.limits, self.closing).await;
        if answer.is_ok() {
            (self.first_family, self.last_family, self.connection) = (family, Some(family), Some(connection));
        }
        (Some(family), answer)
    }

    async fn connect(&mut self) -> Result<Connection, TransportError> {
        if let Some(family) = self.only_family {
            return self.connect_over(family).await;
        }
        let ports = self.ports();
        let raced = connect::race(self.first_family, &ports, self.limits.connect).await;
        let (family, stream) = raced.map_err(|tried| self.not_connected(tried))?;
        Connection::open(family, stream).await
    }

    async fn connect_over(&mut self, family: Family) -> Result<Connection, TransportError> {
        let ports = self.ports();
        let connected = connect::connect(family, &ports, self.limits.connect).await;
        let stream = connected.map_err(|why| self.not_connected(vec![(family, why)]))?;
        Connection::open(family, stream).await
    }

    /// The source ports to try, in this order.
    fn ports(&mut self) -> Vec<u16> {
        if self.any_port { vec![EPHEMERAL_PORT; 3] } else { self.ports.in_order(&mut self.random) }
    }

    /// The error for failed connection attempts. A reset comes from a service that accepted the connection and then closed it, so it
    /// is treated as a lost connection. The other family then has the head start next time, as after every lost connection.
    fn not_connected(&mut self, tried: Vec<(Family, ConnectError)>) -> TransportError {
        match tried.iter().find(|(_, why)| why.is_reset()) {
            Some((family, why)) => {
                self.first_family = family.other();
                TransportError::ConnectionLost(why.to_string())
            }
            None => TransportError::NotConnected(tried),
        }
    }
}

impl Ask for Client {
    async fn ask(&mut self, request: Request) -> Result<Response, TransportError> {
        if self.any_port && !request.accepts_any_port() {
            return Err(TransportError::NotConnected(vec![(self.first_family, ConnectError::NotPermitted)]));
        }
        self.ask_within_limit(&request).await
    }

    async fn ask_last(&mut self, request: Request) -> Result<Response, TransportError> {
        let closing = std::mem::replace(&mut self.closing, true);
        let answer = self.ask(request).await;
        self.closing = closing;
        if let Some(connection) = self.connection.take() {
            connection.wait_until_closed().await;
        }
        answer
    }
}

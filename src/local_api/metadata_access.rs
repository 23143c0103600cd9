//! Connects a command to the metadata service, through the daemon or directly. Do not use it for data that
//! root executes: the setup runner always connects directly.

use std::io;
use std::path::Path;

use crate::local_api::client::SocketClient;
use crate::metadata::api::request::Request;
use crate::metadata::api::response::{Ask, Response};
use crate::metadata::error::{ErrorKind, TransportError};
use crate::metadata::transport::client::Client;
use crate::metadata::transport::exchange::Limits;
use crate::system::platform::{self, Vendor};

/// A connection to the daemon or to the service; both answer the same requests.
pub(crate) struct MetadataAccess {
    way: Way,
    /// Whether all requests are such that the service answers every user ([`Request::accepts_any_port`]).
    for_any_user: bool,
    limits: Limits,
    vendor: Vendor,
}

enum Way {
    /// Through the daemon's socket.
    Daemon(SocketClient),
    /// From a source port of this process.
    Direct(Client),
}

impl MetadataAccess {
    /// Connects to the daemon's socket. If no daemon listens, prepares one request to the service itself. If
    /// the daemon refuses this user, that is the result.
    ///
    /// # Errors
    /// Errors of the connection to the daemon. If no daemon listens: an error if this is not a Scaleway
    /// Instance (invariant P1).
    pub(crate) async fn open(
        socket: &Path,
        limits: &Limits,
        vendor: &Vendor,
    ) -> Result<Self, TransportError> {
        let way = match SocketClient::connect(socket, limits).await {
            Ok(client) => Way::Daemon(client),
            Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Way::Direct(direct_client(limits, vendor)?)
            }
            Err(why) => return Err(TransportError::Socket(why)),
        };
        Ok(Self { way, for_any_user: false, limits: limits.clone(), vendor: vendor.clone() })
    }

    /// The same for requests that the service answers every user. A user without access to the daemon asks the service itself. Root always
    /// does: the daemon is not root, and its answer must not decide who gets access as root (invariant D3).
    ///
    /// # Errors
    /// An error if no daemon can be asked and this is not a Scaleway Instance (invariant P1).
    pub(crate) async fn open_as_any_user(
        socket: &Path,
        limits: &Limits,
        vendor: &Vendor,
    ) -> Result<Self, TransportError> {
        let is_root = nix::unistd::geteuid().is_root();
        let daemon = if is_root { None } else { SocketClient::connect(socket, limits).await.ok() };
        let way = match daemon {
            Some(client) => Way::Daemon(client),
            None => Way::Direct(any_port_client(limits, vendor)?),
        };
        Ok(Self { way, for_any_user: true, limits: limits.clone(), vendor: vendor.clone() })
    }

    /// Closes the connection to the service properly before the process ends (invariant T4).
    pub(crate) async fn finish(self) {
        if let Way::Direct(client) = self.way {
            client.finish().await;
        }
    }
}

fn direct_client(limits: &Limits, vendor: &Vendor) -> Result<Client, TransportError> {
    let proof = platform::check(vendor)?;
    Ok(Client::for_one_request(&proof, limits.clone()))
}

fn any_port_client(limits: &Limits, vendor: &Vendor) -> Result<Client, TransportError> {
    let proof = platform::check(vendor)?;
    Ok(Client::from_any_port(&proof, limits.clone()))
}

impl MetadataAccess {
    /// Whether to query the service itself after this error of the daemon. Root may pass where the daemon does not: systemd can lock the
    /// service. Every user may, if the service answers every user and the daemon does not.
    fn may_query_directly(&self, why: &TransportError) -> bool {
        let kinds = [ErrorKind::Unreachable, ErrorKind::NotPermitted];
        let is_refusal = matches!(why, TransportError::Relayed(kind, _) if kinds.contains(kind));
        let is_lost =
            self.for_any_user && matches!(why, TransportError::ConnectionLost(_) | TransportError::Socket(_));
        (is_refusal && (self.for_any_user || nix::unistd::geteuid().is_root())) || is_lost
    }
}

impl Ask for MetadataAccess {
    async fn ask(&mut self, request: Request) -> Result<Response, TransportError> {
        let client = match &mut self.way {
            Way::Direct(client) => return client.ask(request).await,
            Way::Daemon(client) => client,
        };
        match client.ask(request.clone()).await {
            Err(why) if self.may_query_directly(&why) => {
                let client = if self.for_any_user { any_port_client } else { direct_client };
                let mut client = client(&self.limits, &self.vendor)?;
                let answer = client.ask(request).await;
                self.way = Way::Direct(client);
                answer
            }
            answer => answer,
        }
    }
}

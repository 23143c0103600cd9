//! The way to the metadata service for a command that asks one question: through the daemon, or directly. Do not use it for what root
//! executes: the setup runner always asks directly.

use std::io;
use std::path::Path;

use crate::local_api::client::SocketClient;
use crate::metadata::api::request::Request;
use crate::metadata::api::response::{Ask, Response};
use crate::metadata::error::{ErrorKind, TransportError};
use crate::metadata::transport::client::Client;
use crate::metadata::transport::exchange::Limits;
use crate::system::platform;
use crate::system::platform::Vendor;

/// A connection to the daemon or to the service; both answer the same questions.
pub(crate) struct MetadataAccess {
    way: Way,
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
    /// Connects to the daemon's socket. Where no daemon listens, prepares one request to the service itself. A daemon that refuses
    /// us is an answer, too.
    ///
    /// # Errors
    /// Where no daemon listens, also if this is not a Scaleway Instance (invariant P1).
    pub(crate) async fn open(
        socket: &Path,
        limits: &Limits,
        vendor: &Vendor,
    ) -> Result<Self, TransportError> {
        let way = match SocketClient::connect(socket, limits).await {
            Ok(client) => Way::Daemon(client),
            Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Way::Direct(direct(limits, vendor)?)
            }
            Err(why) => return Err(TransportError::Socket(why)),
        };
        Ok(Self { way, limits: limits.clone(), vendor: vendor.clone() })
    }

    /// Lets the connection to the service end in good order before the process does (law T4).
    pub(crate) async fn finish(self) {
        if let Way::Direct(client) = self.way {
            client.finish().await;
        }
    }
}

fn direct(limits: &Limits, vendor: &Vendor) -> Result<Client, TransportError> {
    let proof = platform::check(vendor)?;
    Ok(Client::for_one_request(&proof, limits.clone()))
}

/// Whether the daemon reports that it did not reach the service. Root may pass where the daemon does not: systemd can lock the service.
fn root_may_pass(why: &TransportError) -> bool {
    let kinds = [ErrorKind::Unreachable, ErrorKind::NotPermitted];
    matches!(why, TransportError::Relayed(kind, _) if kinds.contains(kind))
        && nix::unistd::geteuid().is_root()
}

impl Ask for MetadataAccess {
    async fn ask(&mut self, request: Request) -> Result<Response, TransportError> {
        let client = match &mut self.way {
            Way::Direct(client) => return client.ask(request).await,
            Way::Daemon(client) => client,
        };
        match client.ask(request.clone()).await {
            Err(why) if root_may_pass(&why) => {
                let mut client = direct(&self.limits, &self.vendor)?;
                let answer = client.ask(request).await;
                self.way = Way::Direct(client);
                answer
            }
            answer => answer,
        }
    }
}

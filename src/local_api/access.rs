//! The way to the metadata for a command that asks one question: through the daemon, or straight. Not for what is run as root on
//! the answer's word: see the setup runner.

use std::io;
use std::path::Path;

use super::client::SocketClient;
use crate::metadata::{Ask, Client, Limits, Request, Response, TransportError};
use crate::platform::{self, Vendor};

/// Either way answers the same questions.
pub enum Access {
    /// Through the daemon's socket.
    Daemon(SocketClient),
    /// There is no daemon: from a source port of our own.
    Direct(Client),
}

impl Access {
    /// The daemon's socket first; the API itself, for one request, only where no daemon listens. A daemon that refuses us is an
    /// answer, too.
    ///
    /// # Errors
    /// Where no daemon listens, also if this is not a Scaleway Instance (invariant P1).
    pub async fn open(socket: &Path, limits: &Limits, vendor: &Vendor) -> Result<Self, TransportError> {
        match SocketClient::connect(socket, limits).await {
            Ok(client) => Ok(Self::Daemon(client)),
            Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                let proof = platform::check(vendor)?;
                Ok(Self::Direct(Client::for_one_request(&proof, limits.clone())))
            }
            Err(why) => Err(TransportError::Socket(why)),
        }
    }

    /// Lets the connection to the service end in good order before the process does (law T4).
    pub async fn finish(self) {
        if let Self::Direct(client) = self {
            client.finish().await;
        }
    }
}

impl Ask for Access {
    async fn ask(&mut self, request: Request) -> Result<Response, TransportError> {
        match self {
            Self::Daemon(client) => client.ask(request).await,
            Self::Direct(client) => client.ask(request).await,
        }
    }
}

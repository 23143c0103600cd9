//! The daemon from its start to its end.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::board::Board;
use super::keeper::{self, Duties};
use super::metadata::Handle;
use super::pulse::Pulse;
use super::{metadata, reload, systemd};
use crate::cloud_init;
use crate::exposure::Exposure;
use crate::host_keys;
use crate::local_api::{self, Backend};
use crate::log_once::LogOnce;
use crate::metadata::{Request, Response, TransportError};
use crate::settings::Sources;
use crate::setup::{self, Running, Summary};
use crate::status::Status;

/// Where the daemon finds and leaves things.
#[derive(Clone, Debug)]
pub struct Places {
    /// sshd's host keys, and where the Instance's id is left for the role that makes them.
    pub host_keys: host_keys::Places,
    /// The socket.
    pub socket: PathBuf,
    /// What the setup runner left.
    pub setup: crate::setup::Places,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            host_keys: host_keys::Places::default(),
            socket: local_api::SOCKET.into(),
            setup: crate::setup::Places::default(),
        }
    }
}

/// Why the daemon cannot serve.
#[derive(Debug)]
pub enum DaemonError {
    /// Its socket cannot be made.
    Socket(PathBuf, io::Error),
    /// Signals cannot be received.
    Signals(io::Error),
}

/// Runs until SIGTERM or SIGINT. READY as soon as the socket stands: never when the network is up.
pub async fn run(sources: Sources, places: Places) -> Result<(), DaemonError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::Signals)?;
    let hangup = signal(SignalKind::hangup()).map_err(DaemonError::Signals)?;
    let socket = places.socket.clone();
    let no_socket = |why| DaemonError::Socket(socket.clone(), why);
    let listener = local_api::bind(&socket).map_err(no_socket)?;

    let board = Board::new();
    let settings = reload::first(&sources, &board);
    local_api::open_to(&socket, &settings.borrow()).map_err(no_socket)?;
    let pulses = [Pulse::of("the connection to the metadata service"), Pulse::of("the keeper")];
    let (api, metadata) = metadata::task(settings.subscribe(), board.clone(), pulses[0].clone());
    let front = Front {
        api: api.clone(),
        board: board.clone(),
        places: places.setup.clone(),
        unreadable: Arc::default(),
    };
    let duties = Duties {
        host_keys: &places.host_keys,
        setup: &places.setup,
        settings: settings.subscribe(),
        pulse: pulses[1].clone(),
    };
    systemd::ready(&board.read().line());
    tokio::select! {
        () = metadata => {}
        () = keeper::task(api, board.clone(), duties) => {}
        () = local_api::serve(listener, front, settings.subscribe()) => {}
        () = systemd::task(board.clone(), &pulses) => {}
        () = reload::task(hangup, &settings, &sources, &socket, &board) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    systemd::stopping();
    let _ = std::fs::remove_file(&socket);
    Ok(())
}

/// What the local API shows.
#[derive(Clone)]
struct Front {
    api: Handle,
    board: Board,
    places: setup::Places,
    unreadable: Arc<LogOnce>,
}

impl Backend for Front {
    async fn ask(&self, request: Request) -> Result<Response, TransportError> {
        self.api.send(request).await
    }

    fn status(&self) -> Status {
        let setup = Summary::read(&self.places.summary);
        let why = setup.as_ref().err();
        self.unreadable.warn(why.map(|why| format!("cannot read {}: {why}", self.places.summary.display())));
        let setup = setup.unwrap_or_default();
        let running = Running::read(&self.places.running).unwrap_or_default();
        // As it is now: others change it at any time, and it costs little to look.
        let exposure = Exposure::of_this_machine();
        let cloud_init = cloud_init::progress(Path::new("/"));
        Status { setup, running, exposure, cloud_init, ..self.board.read() }.with_problems()
    }
}

impl fmt::Display for DaemonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path, why) => write!(f, "the socket {} cannot be made: {why}", path.display()),
            Self::Signals(why) => write!(f, "signals cannot be received: {why}"),
        }
    }
}

impl std::error::Error for DaemonError {}

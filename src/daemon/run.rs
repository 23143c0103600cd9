//! The daemon from its start to its end.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use crate::daemon::heartbeat::Heartbeat;
use crate::daemon::metadata_task::MetadataHandle;
use crate::daemon::rounds;
use crate::daemon::rounds::RoundInputs;
use crate::daemon::shared_status::SharedStatus;
use crate::daemon::{metadata_task, reload, systemd};
use crate::host_keys::paths::HostKeyPaths;
use crate::local_api;
use crate::local_api::server::{self, Backend};
use crate::metadata::api::request::Request;
use crate::metadata::api::response::Response;
use crate::metadata::error::TransportError;
use crate::scripts::history::running::RunningScript;
use crate::scripts::history::summary::Summary;
use crate::scripts::paths::SetupPaths;
use crate::settings::sources::Sources;
use crate::status::document::Status;
use crate::system::cloud_init;
use crate::system::exposure::Exposure;
use crate::util::log_once::LogOnce;

/// Where the daemon finds and leaves things.
#[derive(Clone, Debug)]
pub(crate) struct DaemonPaths {
    /// sshd's host keys, and where the Instance's id is left for the role that makes them.
    pub host_keys: HostKeyPaths,
    /// The socket.
    pub socket: PathBuf,
    /// What the setup runner left.
    pub setup: SetupPaths,
}

impl Default for DaemonPaths {
    fn default() -> Self {
        Self {
            host_keys: HostKeyPaths::default(),
            socket: local_api::SOCKET.into(),
            setup: SetupPaths::default(),
        }
    }
}

/// Why the daemon cannot serve.
#[derive(Debug)]
pub(crate) enum DaemonError {
    /// Its socket cannot be made.
    Socket(PathBuf, io::Error),
    /// Signals cannot be received.
    Signals(io::Error),
}

/// Runs until SIGTERM or SIGINT. READY as soon as the socket stands: never when the network is up.
pub(crate) async fn run(sources: Sources, paths: DaemonPaths) -> Result<(), DaemonError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::Signals)?;
    let hangup = signal(SignalKind::hangup()).map_err(DaemonError::Signals)?;
    let socket = paths.socket.clone();
    let no_socket = |why| DaemonError::Socket(socket.clone(), why);
    let listener = server::bind(&socket).map_err(no_socket)?;

    let board = SharedStatus::new();
    let settings = reload::first(&sources, &board);
    server::open_to(&socket, &settings.borrow()).map_err(no_socket)?;
    let pulses = [Heartbeat::of("the connection to the metadata service"), Heartbeat::of("the keeper")];
    let (api, metadata) = metadata_task::task(settings.subscribe(), board.clone(), pulses[0].clone());
    let front = LocalApiBackend {
        api: api.clone(),
        board: board.clone(),
        places: paths.setup.clone(),
        unreadable: Arc::default(),
    };
    let duties = RoundInputs {
        host_keys: &paths.host_keys,
        setup: &paths.setup,
        settings: settings.subscribe(),
        pulse: pulses[1].clone(),
    };
    systemd::ready(&board.read().line());
    tokio::select! {
        () = metadata => {}
        () = rounds::task(api, board.clone(), duties) => {}
        () = server::serve(listener, front, settings.subscribe()) => {}
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
struct LocalApiBackend {
    api: MetadataHandle,
    board: SharedStatus,
    places: SetupPaths,
    unreadable: Arc<LogOnce>,
}

impl Backend for LocalApiBackend {
    async fn ask(&self, request: Request) -> Result<Response, TransportError> {
        self.api.send(request).await
    }

    fn status(&self) -> Status {
        let setup = Summary::read(&self.places.summary);
        let why = setup.as_ref().err();
        self.unreadable.warn(why.map(|why| format!("cannot read {}: {why}", self.places.summary.display())));
        let setup = setup.unwrap_or_default();
        let running = RunningScript::read(&self.places.running).unwrap_or_default();
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

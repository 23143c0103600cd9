//! Starts the daemon's tasks and ends them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::account_keys::paths::AccountKeyPaths;
use crate::account_keys::report::KeysReport;
use crate::daemon::boot_tasks::BootTaskPaths;
use crate::daemon::fingerprint_checks::FingerprintChecks;
use crate::daemon::heartbeat::Heartbeat;
use crate::daemon::metadata_task::MetadataHandle;
use crate::daemon::rounds::{self, RoundInputs};
use crate::daemon::shared_status::SharedStatus;
use crate::daemon::{metadata_task, reload, systemd};
use crate::host_keys::paths::HostKeyPaths;
use crate::host_keys::store::served::KeyProblem;
use crate::local_api;
use crate::local_api::server::{self, Backend};
use crate::metadata::api::request::Request;
use crate::metadata::api::response::Response;
use crate::metadata::error::TransportError;
use crate::metadata::transport::connect::has_unmarked_route;
use crate::scripts::history::running::RunningScript;
use crate::scripts::history::summary::Summary;
use crate::scripts::paths::SetupPaths;
use crate::settings::sources::Sources;
use crate::status::document::{Problem, Status};
use crate::system::cloud_init;
use crate::system::exposure::Exposure;
use crate::util::log_once::LogOnce;

/// The daemon's paths.
#[derive(Clone, Debug)]
pub(crate) struct DaemonPaths {
    /// The paths of sshd's host keys and of the requests to the host-keys units.
    pub host_keys: HostKeyPaths,
    /// The path of the local API's socket.
    pub socket: PathBuf,
    /// The setup runner's paths.
    pub setup: SetupPaths,
    /// The paths of what is done once in each boot.
    pub boot_tasks: BootTaskPaths,
    /// The paths of the managed keys of root.
    pub ssh_keys: AccountKeyPaths,
}

impl Default for DaemonPaths {
    fn default() -> Self {
        Self {
            host_keys: HostKeyPaths::default(),
            socket: local_api::SOCKET.into(),
            setup: SetupPaths::default(),
            boot_tasks: BootTaskPaths::default(),
            ssh_keys: AccountKeyPaths::default(),
        }
    }
}

/// Why the daemon cannot start.
#[derive(Debug, Error)]
pub(crate) enum DaemonError {
    /// The socket cannot be created.
    #[error("cannot create the socket {}: {}", .0.display(), .1)]
    Socket(PathBuf, #[source] io::Error),
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] io::Error),
}

/// Runs until SIGTERM or SIGINT. Reports READY as soon as the socket exists; it does not wait for the
/// network.
pub(crate) async fn run(sources: Sources, paths: DaemonPaths) -> Result<(), DaemonError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::Signals)?;
    let hangup = signal(SignalKind::hangup()).map_err(DaemonError::Signals)?;
    let socket = paths.socket.clone();
    let socket_error = |why| DaemonError::Socket(socket.clone(), why);
    let listener = server::bind(&socket).map_err(socket_error)?;

    let shared_status = SharedStatus::new();
    let settings = reload::load_at_start(&sources, &shared_status);
    server::set_socket_mode(&socket, &settings.borrow()).map_err(socket_error)?;
    let connection_heartbeat = Heartbeat::new("the connection to the metadata service");
    let rounds_heartbeat = Heartbeat::new("the rounds task");
    let checks = FingerprintChecks::new(shared_status.clone());
    let (api, metadata) = metadata_task::create(
        settings.subscribe(),
        shared_status.clone(),
        checks.clone(),
        connection_heartbeat.clone(),
    );
    let backend = LocalApiBackend {
        api: api.for_programs(),
        shared_status: shared_status.clone(),
        checks: checks.clone(),
        paths: paths.setup.clone(),
        ssh_keys: paths.ssh_keys.report.clone(),
        read_failure: Arc::default(),
    };
    let inputs = RoundInputs {
        host_keys: &paths.host_keys,
        setup: &paths.setup,
        boot_tasks: &paths.boot_tasks,
        ssh_keys: &paths.ssh_keys,
        settings: settings.subscribe(),
        checks,
        heartbeat: rounds_heartbeat.clone(),
    };
    systemd::ready(&shared_status.read().summary_line());
    tokio::select! {
        () = metadata => {}
        () = rounds::run(api, shared_status.clone(), inputs) => {}
        () = server::serve(listener, backend, settings.subscribe()) => {}
        () = systemd::notify_changes(shared_status.clone(), &rounds_heartbeat, &connection_heartbeat) => {}
        () = reload::reload_on_hangup(hangup, &settings, &sources, &socket, &shared_status) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    systemd::stopping();
    let _ = std::fs::remove_file(&socket);
    Ok(())
}

/// Answers the requests of the local API.
#[derive(Clone)]
struct LocalApiBackend {
    api: MetadataHandle,
    shared_status: SharedStatus,
    checks: FingerprintChecks,
    paths: SetupPaths,
    /// The report about root's keys.
    ssh_keys: PathBuf,
    read_failure: Arc<LogOnce>,
}

impl Backend for LocalApiBackend {
    async fn ask(&self, request: Request) -> Result<Response, TransportError> {
        self.api.send(request, false).await
    }

    async fn status(&self, check: bool) -> Status {
        let requested =
            if check && self.shared_status.is_instance() { Some(self.checks.request().await) } else { None };
        let setup = Summary::read(&self.paths.summary);
        let why = setup.as_ref().err();
        self.read_failure.warn(why.map(|why| format!("cannot read {}: {why}", self.paths.summary.display())));
        let setup = setup.unwrap_or_default();
        let running = RunningScript::read(&self.paths.running).unwrap_or_default();
        // Read anew for each request: other programs can change it at any time, and reading costs little.
        let exposure = Exposure::of_this_machine(has_unmarked_route);
        let cloud_init = cloud_init::progress(Path::new("/"));
        let ssh_keys = KeysReport::read(&self.ssh_keys);
        let problems = ssh_keys.map(|report| report.all_problems()).unwrap_or_default();
        let problems = problems.into_iter().map(|KeyProblem { what, remedy }| Problem { what, remedy });
        let ssh_key_problems = problems.collect();
        let known = self.shared_status.read();
        let status = Status { setup, running, exposure, cloud_init, ssh_key_problems, ..known };
        self.checks.describe(status, requested).with_problems()
    }
}

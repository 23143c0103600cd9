//! Reads the configuration at the start and again on SIGHUP. At the start, a broken file is ignored and the
//! other files are used. A reload that finds a broken file changes nothing: the settings stay as they were.

use std::path::Path;

use tokio::signal::unix::Signal;
use tokio::sync::watch;

use crate::daemon::shared_status::SharedStatus;
use crate::daemon::systemd;
use crate::local_api::server;
use crate::settings::load::LoadedSettings;
use crate::settings::sources::Sources;
use crate::settings::{self, Settings};
use crate::system::platform;

/// The settings to start with. Problems are logged and put into the status.
pub(crate) fn load_at_start(sources: &Sources, shared_status: &SharedStatus) -> watch::Sender<Settings> {
    let loaded = settings::load(sources);
    report_problems(&loaded, shared_status, "this file is ignored");
    shared_status.set_platform(platform::check(&loaded.settings.vendor).into());
    watch::Sender::new(loaded.settings)
}

/// Reloads the configuration on each SIGHUP. Runs until it is dropped.
pub(crate) async fn reload_on_hangup(
    mut hangup: Signal,
    settings: &watch::Sender<Settings>,
    sources: &Sources,
    socket: &Path,
    shared_status: &SharedStatus,
) {
    while hangup.recv().await.is_some() {
        systemd::reloading();
        let loaded = settings::load(sources);
        report_problems(&loaded, shared_status, "the settings stay unchanged");
        if loaded.problems.is_empty() {
            if let Err(why) = server::set_socket_mode(socket, &loaded.settings) {
                tracing::error!("cannot set the mode of {}: {why}", socket.display());
            }
            shared_status.set_platform(platform::check(&loaded.settings.vendor).into());
            settings.send_replace(loaded.settings);
            tracing::info!("reloaded the configuration");
        }
        systemd::ready(&shared_status.read().summary_line());
    }
}

fn report_problems(loaded: &LoadedSettings, shared_status: &SharedStatus, consequence: &str) {
    for problem in &loaded.problems {
        tracing::error!("{problem}; {consequence}");
    }
    shared_status.set_configuration_problems(loaded.problems.iter().map(ToString::to_string).collect());
}

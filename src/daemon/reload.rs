//! The configuration, read at the start and again on SIGHUP. At the start a broken file does not count and the others do; a reload that finds
//! one changes nothing: what was good stays.

use crate::local_api::server;
use std::path::Path;

use tokio::signal::unix::Signal;
use tokio::sync::watch;

use crate::daemon::shared_status::SharedStatus;
use crate::daemon::systemd;
use crate::settings;
use crate::settings::Settings;
use crate::settings::load::Loaded;
use crate::settings::sources::Sources;
use crate::system::platform;

/// The settings to start with. What is wrong is logged, and stands on the board.
pub(crate) fn first(sources: &Sources, board: &SharedStatus) -> watch::Sender<Settings> {
    let loaded = settings::load(sources);
    tell(&loaded, board, "this file does not count");
    board.platform(platform::check(&loaded.settings.vendor).into());
    watch::Sender::new(loaded.settings)
}

/// Runs for ever.
pub(crate) async fn task(
    mut hangup: Signal,
    settings: &watch::Sender<Settings>,
    sources: &Sources,
    socket: &Path,
    board: &SharedStatus,
) {
    while hangup.recv().await.is_some() {
        systemd::reloading();
        let loaded = settings::load(sources);
        tell(&loaded, board, "the settings stay as they were");
        if loaded.problems.is_empty() {
            if let Err(why) = server::open_to(socket, &loaded.settings) {
                tracing::error!("the mode of {} cannot be set: {why}", socket.display());
            }
            board.platform(platform::check(&loaded.settings.vendor).into());
            settings.send_replace(loaded.settings);
            tracing::info!("the configuration was read again");
        }
        systemd::ready(&board.read().line());
    }
}

fn tell(loaded: &Loaded, board: &SharedStatus, so: &str) {
    for problem in &loaded.problems {
        tracing::error!("{problem}; {so}");
    }
    board.configuration(loaded.problems.iter().map(ToString::to_string).collect());
}

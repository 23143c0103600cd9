//! `scw-agent daemon`: runs the daemon.

use crate::command::exit::Exit;
use crate::command::process::block_on;
use crate::daemon::run::{self, DaemonPaths};
use crate::settings::sources::Sources;
use crate::util::log;

pub(crate) fn run() -> Exit {
    log::start("scw-agent");
    block_on(async {
        match run::run(Sources::default(), DaemonPaths::default()).await {
            Ok(()) => Exit::Success,
            Err(why) => {
                tracing::error!("{why}");
                Exit::Failure
            }
        }
    })
}

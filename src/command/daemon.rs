//! `scw-agent daemon`.

use super::exit::Exit;
use super::process::block_on;
use crate::daemon::{self, Places};
use crate::log;
use crate::settings::Sources;

pub(super) fn run() -> Exit {
    log::start("scw-agent");
    block_on(async {
        match daemon::run(Sources::default(), Places::default()).await {
            Ok(()) => Exit::Success,
            Err(why) => {
                tracing::error!("{why}");
                Exit::Failure
            }
        }
    })
}

//! `scw-agent daemon` and `scw-agent config check`.

use std::path::Path;

use super::exit::Exit;
use super::help::AGENT;
use super::process::{block_on, print};
use crate::daemon::{self, Places};
use crate::log;
use crate::settings::{self, Settings};

pub(super) fn run() -> Exit {
    log::start("scw-agent");
    let settings = Settings::load_or_default(Path::new(settings::FILE));
    block_on(async {
        match daemon::run(settings, Places::default()).await {
            Ok(()) => Exit::Success,
            Err(why) => {
                tracing::error!("{why}");
                Exit::Failure
            }
        }
    })
}

pub(super) fn check_config() -> Exit {
    match Settings::load(Path::new(settings::FILE)) {
        Ok(_) if !Path::new(settings::FILE).exists() => {
            print(&format!("there is no {}: the defaults hold\n", settings::FILE))
        }
        Ok(_) => print(&format!("{} is good\n", settings::FILE)),
        Err(why) => AGENT.failed(&why, Exit::Usage),
    }
}

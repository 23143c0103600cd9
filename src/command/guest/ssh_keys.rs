//! `scw-generate-ssh-keys` and `scw-fetch-ssh-keys`.

use std::thread;
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::time::{Instant, sleep};

use crate::command::exit::Exit;
use crate::command::grammar::Program;
use crate::command::guest::arguments::Parsed;
use crate::command::guest::asking::{PATIENCE, ask_then};
use crate::command::guest::metadata::write_cache;
use crate::command::guest::programs::UPGRADE;
use crate::command::host_keys;
use crate::command::process::block_on;
use crate::command::ssh_keys;
use crate::command::status::{ANSWER_TIMEOUT, query_daemon};
use crate::host_keys::sshd::server::SshServer;
use crate::local_api::metadata_access::MetadataAccess;
use crate::metadata::api::request::{Format, Request};
use crate::metadata::api::response::Ask;
use crate::status::states::{Fingerprints, Platform};
use crate::util::log;

/// The time between two questions to the daemon.
const PAUSE: Duration = Duration::from_secs(1);
const CONFIRMATION_PAUSE: Duration = Duration::from_secs(5);

pub(super) fn generate(program: &'static Program, _: Parsed) -> Exit {
    if !geteuid().is_root() {
        return program.fail(&"only root may make host keys", Exit::NotPermitted);
    }
    let made = host_keys::ensure();
    if made == Exit::Success { block_on(wait_until_published(program)) } else { made }
}

/// Waits until the daemon reports that the right value is published, as it is on the service at that time.
async fn wait_until_published(program: &Program) -> Exit {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let why = match query_daemon(ANSWER_TIMEOUT, true).await {
            // Nothing is to be published.
            Ok(status) if status.platform != Platform::Instance => return Exit::Success,
            Ok(status) if status.ssh_server == SshServer::NotEnabled => return Exit::Success,
            Ok(status) => match status.fingerprints {
                Fingerprints::Published { .. } => return Exit::Success,
                _ => "the fingerprints are not published yet; see `scw-agent status`".to_owned(),
            },
            Err(why) => format!("the daemon, which publishes the fingerprints, cannot be asked: {why}"),
        };
        if Instant::now() + PAUSE >= deadline {
            return program.fail(&why, Exit::Failure);
        }
        sleep(PAUSE).await;
    }
}

pub(super) fn fetch(program: &'static Program, parsed: Parsed) -> Exit {
    if !geteuid().is_root() {
        return program.fail(&"only root may write root's keys", Exit::NotPermitted);
    }
    log::start(program.name);
    // The service may not be reachable yet. The text is the cache's.
    let ask = async |api: &mut MetadataAccess| api.text(Request::Conf(Format::Text)).await;
    let asked = ask_then(program, Exit::Failure, ask, |text| {
        if parsed.has(&UPGRADE) {
            write_cache(program, &text);
        }
        Exit::Success
    });
    if asked != Exit::Success {
        return asked;
    }
    // Early in the first boot, the host-keys units may not have confirmed the Instance yet.
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ssh_keys::fetch() {
            Exit::Success => return Exit::Success,
            Exit::Unreachable if Instant::now() + CONFIRMATION_PAUSE < deadline => {
                thread::sleep(CONFIRMATION_PAUSE);
            }
            _ => return Exit::Failure,
        }
    }
}

//! `scw-agent hostname apply`: sets the hostname of the metadata once in a boot, if the configuration says so. The daemon
//! requests it, and root asks the metadata service itself: a request is no proof of anything (invariant D3).

use std::path::Path;

use nix::unistd::geteuid;

use crate::command::exit::Exit;
use crate::command::guest::ask_for_a_minute;
use crate::command::process::on_this_thread;
use crate::metadata::api::response::Ask;
use crate::settings;
use crate::system::hostname::{self, HOSTNAME_REQUESTED, HostnamePaths};
use crate::system::{cloud_init, platform, throttle};
use crate::util::{files, log};

/// Why the hostname is not set.
pub(super) enum NotSet {
    /// cloud-init sets it.
    LeftToCloudInit,
    /// The metadata have none that could be set.
    NoName,
    /// The metadata service did not answer. Another try may succeed.
    NoAnswer(String),
    /// This machine does not set it, or not completely.
    Failed(String),
}

/// The command of `scw-agent-hostname.service`. With `paced`, a request of the daemon started it.
pub(crate) fn apply(paced: bool) -> Exit {
    log::start("scw-agent-hostname");
    if !geteuid().is_root() {
        tracing::error!("only root may set the hostname");
        return Exit::NotPermitted;
    }
    let paths = HostnamePaths::default();
    if paced {
        throttle::wait(&paths.runs);
    }
    let are_requests_removed = remove_requests(&paths);
    are_requests_removed.or(apply_once(&paths))
}

/// Removes the requests: one that remained would start the unit again and again. The daemon repeats what failed.
fn remove_requests(paths: &HostnamePaths) -> Exit {
    let requests = paths.requests.take(&[HOSTNAME_REQUESTED]);
    let mut problems = requests.problems.clone();
    if let Err(why) = requests.mark_served(HOSTNAME_REQUESTED) {
        problems.push(format!("cannot write in {}: {why}", paths.requests.pending.display()));
    }
    problems.iter().for_each(|problem| tracing::error!("{problem}"));
    if problems.is_empty() { Exit::Success } else { Exit::Failure }
}

fn apply_once(paths: &HostnamePaths) -> Exit {
    let settings = settings::load_and_log();
    if !settings.hostname_managed {
        tracing::info!("[hostname] manage is false; the hostname is not changed");
        return Exit::Success;
    }
    if paths.done.exists() {
        return Exit::Success;
    }
    if let Err(why) = platform::check(&settings.vendor) {
        tracing::info!("{why}; the hostname is not changed");
        return Exit::Success;
    }
    let ended = match set_from_metadata() {
        Ok(name) => {
            tracing::info!("the hostname is {name}");
            Exit::Success
        }
        Err(NotSet::LeftToCloudInit) => {
            tracing::info!("the hostname is left to cloud-init");
            Exit::Success
        }
        Err(NotSet::NoName) => {
            tracing::error!("the metadata have no valid hostname; it is not changed");
            Exit::Failure
        }
        Err(NotSet::NoAnswer(why)) => {
            tracing::warn!("{why}; the hostname is not changed, and the daemon requests it again later");
            return Exit::Success;
        }
        // Not tried again in this boot: it would fail again, and replace a name that an administrator sets meanwhile.
        Err(NotSet::Failed(why)) => {
            tracing::error!("{why}");
            Exit::Failure
        }
    };
    let folder = paths.done.parent().map_or(Ok(()), files::create_public_folder);
    if let Err(why) = folder.and_then(|()| files::write_atomic(&paths.done, b"", 0o644)) {
        tracing::error!("cannot write {}: {why}", paths.done.display());
        return Exit::Failure;
    }
    ended
}

/// Asks the metadata service for the hostname, for up to a minute, and sets it. Returns it.
pub(super) fn set_from_metadata() -> Result<String, NotSet> {
    if cloud_init::is_active(Path::new("/")) {
        return Err(NotSet::LeftToCloudInit);
    }
    let asked = on_this_thread(ask_for_a_minute(async |api| api.instance().await));
    let asked = asked.map_err(|why| NotSet::Failed(format!("cannot start the event loop: {why}")))?;
    let instance = asked.map_err(|why| NotSet::NoAnswer(why.to_string()))?;
    let name = instance.hostname.filter(|name| hostname::is_hostname(name)).ok_or(NotSet::NoName)?;
    hostname::set(&name).map_err(|why| NotSet::Failed(format!("cannot set the hostname: {why}")))?;
    Ok(name)
}

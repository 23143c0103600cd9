//! `scw-generate-ssh-keys` and `scw-fetch-ssh-keys`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Uid, User, geteuid};
use tokio::time::{Instant, sleep};

use crate::account_keys::content::{AuthorizedKeys, content};
use crate::account_keys::install::{InstallError, RootKeys};
use crate::command::exit::Exit;
use crate::command::grammar::Program;
use crate::command::guest::arguments::Parsed;
use crate::command::guest::asking::{PATIENCE, ask_then};
use crate::command::guest::metadata::write_cache;
use crate::command::guest::programs::UPGRADE;
use crate::command::host_keys;
use crate::command::process::{block_on, print_error};
use crate::command::status::{ANSWER_TIMEOUT, query_daemon};
use crate::host_keys::sshd::server::SshServer;
use crate::local_api::metadata_access::MetadataAccess;
use crate::metadata::api::request::{Format, Request};
use crate::metadata::api::response::Ask;
use crate::status::states::{Fingerprints, Platform};

/// The time between two questions to the daemon.
const PAUSE: Duration = Duration::from_secs(1);

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
    let upgrade = parsed.has(&UPGRADE);
    let ask = async |api: &mut MetadataAccess| {
        let owner = api.owner_data().await?;
        let text = if upgrade { Some(api.text(Request::Conf(Format::Text)).await?) } else { None };
        Ok((owner, text))
    };
    ask_then(program, Exit::Failure, ask, |(owner, text)| {
        if let Some(text) = text {
            write_cache(program, &text);
        }
        let keys = RootKeys::new(&home_of_root());
        let written = keys.instance_keys().and_then(|own| {
            let content = content(&owner, &own);
            let copy = if content.keys > 0 { keys.install(&content.text)? } else { None };
            Ok((content, copy))
        });
        report(program, written)
    })
}

fn report(program: &Program, written: Result<(AuthorizedKeys, Option<PathBuf>), InstallError>) -> Exit {
    let (content, copy) = match written {
        Ok(written) => written,
        Err(why) => return program.fail(&why, Exit::Failure),
    };
    if content.skipped > 0 {
        print_error(program, &format!("{} keys with a control character were left out", content.skipped));
    }
    if content.keys == 0 {
        print_error(
            program,
            &"there are no keys in the metadata, in tags or in instance_keys; nothing was changed",
        );
    }
    if let Some(copy) = copy {
        print_error(program, &format!("the edited file was kept as {}", copy.display()));
    }
    Exit::Success
}

/// The home folder of root.
pub(crate) fn home_of_root() -> PathBuf {
    let root = User::from_uid(Uid::from_raw(0)).ok().flatten();
    root.map_or_else(|| Path::new("/root").to_owned(), |root| root.dir)
}

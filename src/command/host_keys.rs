//! `scw-agent host-keys …`: runs a pass of the host-keys units, and prints the host keys.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::timeout;

use crate::command::exit::Exit;
use crate::command::help::AGENT;
use crate::command::process::{on_this_thread, print, print_error, print_json, print_rows};
use crate::command::rows::{RowMark, Rows, colours_wanted};
use crate::command::status::{ANSWER_TIMEOUT, query_daemon};
use crate::command::status_view::{NO_SERVER, not_checked};
use crate::host_keys::key::public_key::PublicKey;
use crate::host_keys::passes;
use crate::host_keys::passes::local_keys::local_keys;
use crate::host_keys::passes::report::PassReport;
use crate::host_keys::passes::settings::PassSettings;
use crate::host_keys::paths::HostKeyPaths;
use crate::host_keys::sshd::server::SshServer;
use crate::host_keys::store::apply::KeyChanges;
use crate::host_keys::store::error::HostKeyError;
use crate::host_keys::store::key_file::public_path;
use crate::host_keys::store::served::{LocalKey, LocalKeys};
use crate::identity::verdict::Verdict;
use crate::metadata::api::instance::InstanceId;
use crate::metadata::api::response::Ask;
use crate::metadata::retry::backoff::Budget;
use crate::metadata::retry::retrying::Retrying;
use crate::metadata::transport::client::Client;
use crate::metadata::transport::exchange::Limits;
use crate::settings;
use crate::settings::sources::Sources;
use crate::status::document::Status;
use crate::status::states::{Fingerprints, Platform, Reachability};
use crate::system::platform::{self, PlatformProof};
use crate::system::throttle;
use crate::util::events;
use crate::util::log;

/// The time limit for the metadata service, far longer than an answer takes. Other passes wait for this one.
const ASK_TIMEOUT: Duration = Duration::from_secs(20);

/// The command of `scw-agent-hostkeys.service`. It must work with any configuration, because without keys
/// sshd does not start.
pub(crate) fn ensure() -> Exit {
    run_pass(|paths, pass_settings, _| passes::ensure::ensure(paths, pass_settings))
}

/// The command of `scw-agent-hostkeys-settle.service`. With `paced`, a request of the daemon started it, so
/// it waits if the last runs were recent.
pub(crate) fn settle(paced: bool) -> Exit {
    run_pass(|paths, pass_settings, ask| {
        if paced {
            throttle::wait(&paths.runs);
        }
        passes::settle::settle(paths, pass_settings, ask)
    })
}

/// Asks the metadata service which Instance this is. Root asks the service itself, because an answer from the
/// daemon proves nothing (invariants D3, H1).
fn ask_instance(proof: &PlatformProof, limits: &Limits) -> Result<InstanceId, String> {
    let answer = on_this_thread(async {
        let client = Client::from_any_port(proof, limits.clone());
        let mut api = Retrying::new(client, Budget::COMMAND);
        let answer = timeout(ASK_TIMEOUT, api.instance()).await;
        api.into_inner().finish().await;
        answer
    });
    match answer {
        Ok(Ok(Ok(instance))) => Ok(instance.id),
        Ok(Ok(Err(why))) => Err(why.to_string()),
        Ok(Err(_)) => Err(format!("the metadata service gave no answer within {} s", ASK_TIMEOUT.as_secs())),
        Err(why) => Err(format!("cannot start the event loop: {why}")),
    }
}

fn run_pass(
    pass: impl FnOnce(&HostKeyPaths, PassSettings<'_>, &dyn Fn() -> Result<InstanceId, String>) -> PassReport,
) -> Exit {
    log::start("scw-agent-hostkeys");
    let settings = settings::load_and_log();
    let checked = platform::check(&settings.vendor);
    if let Err(why) = &checked {
        tracing::info!("{why}; no key is replaced");
    }
    let pass_settings = PassSettings {
        key_types: &settings.key_types,
        regenerate: settings.regenerate,
        is_on_platform: checked.is_ok(),
    };
    let ask = || match &checked {
        Ok(proof) => ask_instance(proof, &settings.limits),
        Err(why) => Err(why.to_string()),
    };
    let report = pass(&HostKeyPaths::default(), pass_settings, &ask);
    if pass_settings.is_on_platform {
        report.console_lines.lines().for_each(|line| settings.console.print_line(&line));
    }
    if let Some(why) = &report.fetch_error {
        tracing::warn!(
            "cannot check yet whether this disk belongs to another Instance: {why}; trying again later"
        );
    }
    log_verdict(&report, settings.regenerate);
    for problem in &report.problems {
        tracing::error!("{problem}");
    }
    let changes = &report.key_changes;
    log_key_changes(changes);
    let is_permission_error = |(_, why): &(PathBuf, HostKeyError)| why.is_permission();
    if !changes.failed.is_empty() && changes.failed.iter().all(is_permission_error) {
        return Exit::NotPermitted;
    }
    if changes.failed.is_empty() && report.problems.is_empty() { Exit::Success } else { Exit::Failure }
}

fn log_key_changes(changes: &KeyChanges) {
    let names = |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    if !changes.kept.is_empty() {
        tracing::info!("kept {}", names(&changes.kept));
    }
    if !changes.made.is_empty() {
        tracing::info!(MESSAGE_ID = events::HOST_KEYS_MADE, "made {}", names(&changes.made));
    }
    for (name, fix) in &changes.repaired {
        tracing::warn!("{name}: the key is kept; {fix}");
    }
    for path in &changes.removed {
        tracing::warn!("removed {}", path.display());
    }
    for path in &changes.set_aside {
        tracing::warn!("invalid key file moved to {}", path.display());
    }
    for (path, why) in &changes.skipped {
        tracing::warn!("{}: {why}", path.display());
    }
    for (path, why) in &changes.failed {
        tracing::error!("{}: {why}", path.display());
    }
}

fn log_verdict(report: &PassReport, regenerate: bool) {
    match &report.verdict {
        Verdict::Same | Verdict::Unknown => {}
        Verdict::Another(instance) if report.renewed => {
            let old = report
                .old_keys
                .as_ref()
                .map(|path| format!("; the old public keys are in {}", path.display()));
            tracing::warn!(MESSAGE_ID = events::INSTANCE_CHANGED, SCW_INSTANCE_ID = %instance, "this disk now belongs to another Instance, {instance}: new host keys are made{}", old.unwrap_or_default());
        }
        Verdict::Another(instance) if regenerate => {
            tracing::info!(MESSAGE_ID = events::INSTANCE_CHANGED, SCW_INSTANCE_ID = %instance, "this disk now belongs to another Instance, {instance}; its host keys were made in this boot and are kept");
        }
        Verdict::Another(instance) => {
            tracing::warn!(MESSAGE_ID = events::INSTANCE_CHANGED, SCW_INSTANCE_ID = %instance, "this disk now belongs to another Instance, {instance}; its host keys are kept, as configured");
        }
        Verdict::Conflict(instance) => tracing::error!(
            "the metadata service names another Instance, {instance}, and the hypervisor the recorded one; the host keys are kept"
        ),
    }
}

/// Prints the host keys, and whether their fingerprints are published. Fails if a key that sshd serves is not.
pub(crate) fn show(json: bool) -> Exit {
    let status = daemon_status();
    with_keys(|keys, server| {
        let publication = |local: &_, key: &_| KeyPublication::of(local, key, status.as_ref());
        let readable = || keys.keys.iter().filter_map(|local| Some((local, local.key.as_ref()?)));
        let printed = if json {
            let list: Vec<_> =
                readable().map(|(local, key)| to_json(local, key, publication(local, key))).collect();
            print_json(&serde_json::Value::Array(list).to_string())
        } else {
            let mut rows = Rows::new(colours_wanted());
            for (local, key) in readable() {
                let publication = publication(local, key);
                let shown = format!("{} {} {} ({})", key.bits, key.fingerprint(), key.comment, key.type_name);
                rows.row(publication.mark(), publication.text(), &shown);
            }
            if server == SshServer::NotEnabled {
                rows.plain(NO_SERVER);
            }
            if let Some(Fingerprints::NotChecked { age_ms, why, .. }) =
                status.as_ref().map(|it| &it.fingerprints)
            {
                rows.plain(&not_checked(*age_ms, why));
            }
            print_rows(&rows)
        };
        let is_missing =
            readable().any(|(local, key)| publication(local, key) == KeyPublication::NotPublished);
        printed.or(if is_missing { Exit::Failure } else { Exit::Success })
    })
}

/// Whether a key's fingerprint is published.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyPublication {
    Published,
    NotPublished,
    NotServed,
    /// It was published when the daemon last checked.
    NotChecked,
    Unknown,
}

impl KeyPublication {
    /// `status` is the daemon's status, or `None` without a daemon that answers.
    fn of(local: &LocalKey, key: &PublicKey, status: Option<&Status>) -> Self {
        if !local.served {
            return Self::NotServed;
        }
        let Some(status) = status.filter(|status| status.platform == Platform::Instance) else {
            return Self::Unknown;
        };
        let fingerprint = key.fingerprint();
        let is_listed = status
            .host_keys
            .iter()
            .any(|listed| listed.served && listed.fingerprint.as_ref() == Some(&fingerprint));
        match &status.fingerprints {
            Fingerprints::Published { .. } if is_listed => Self::Published,
            Fingerprints::NotChecked { .. } if is_listed => Self::NotChecked,
            Fingerprints::Failed { .. } if !matches!(status.metadata, Reachability::Reachable { .. }) => {
                Self::Unknown
            }
            _ => Self::NotPublished,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::NotPublished => "not published",
            Self::NotServed => "not served",
            Self::NotChecked => "not checked",
            Self::Unknown => "not known",
        }
    }

    fn mark(self) -> RowMark {
        match self {
            Self::Published => RowMark::Good,
            Self::NotPublished => RowMark::Bad,
            Self::NotServed | Self::NotChecked | Self::Unknown => RowMark::Waiting,
        }
    }
}

/// The status after a check of the published value, which the daemon makes. This command sends no request itself,
/// because printing the own keys must not wait for a network. A user who may not use the daemon does not get it.
fn daemon_status() -> Option<Status> {
    on_this_thread(query_daemon(ANSWER_TIMEOUT, true)).ok()?.ok()
}

/// Prints lines for a client's known_hosts file. A name with a port is written `[NAME]:PORT`.
pub(crate) fn known_hosts(name: Option<&str>) -> Exit {
    let name = name.map_or_else(host_name, str::to_owned);
    with_keys(|keys, server| print_lines(keys, server, |key| Some(format!("{name} {}\n", key.key_text()))))
}

/// Prints SSHFP records for a zone file, for the key types that have a number there.
pub(crate) fn sshfp(name: Option<&str>) -> Exit {
    let name = name.map_or_else(host_name, str::to_owned);
    with_keys(|keys, server| {
        print_lines(keys, server, |key| key.sshfp().map(|record| format!("{name} IN SSHFP {record}\n")))
    })
}

/// Prints a line for each key that sshd serves. Clients must not check against other keys.
fn print_lines(keys: &LocalKeys, server: SshServer, line: impl Fn(&PublicKey) -> Option<String>) -> Exit {
    if server == SshServer::NotEnabled {
        return AGENT.fail(&"no OpenSSH server is enabled, so no host key is served", Exit::NotFound);
    }
    if keys.served().next().is_none() {
        return AGENT
            .fail(&"it is not known which host keys sshd serves; see `scw-agent status`", Exit::NotFound);
    }
    print(&keys.served().filter_map(line).collect::<String>())
}

fn host_name() -> String {
    nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned()
}

fn to_json(local: &LocalKey, key: &PublicKey, publication: KeyPublication) -> serde_json::Value {
    serde_json::json!({
        "file": public_path(&local.path),
        "type": key.type_name,
        "bits": key.bits,
        "fingerprint": key.fingerprint(),
        "comment": key.comment,
        "served": local.served,
        "published": match publication {
            KeyPublication::Published => Some(true),
            KeyPublication::NotPublished | KeyPublication::NotServed => Some(false),
            KeyPublication::NotChecked | KeyPublication::Unknown => None,
        },
    })
}

fn with_keys(print: impl FnOnce(&LocalKeys, SshServer) -> Exit) -> Exit {
    let paths = HostKeyPaths::default();
    let server = SshServer::read(&paths.root);
    let mut keys = local_keys(&paths, &settings::load(&Sources::default()).settings.key_types);
    for problem in &keys.problems {
        print_error(&AGENT, &format!("{}; {}", problem.what, problem.remedy));
    }
    if server == SshServer::NotEnabled {
        keys.mark_not_served();
    } else if keys.keys.iter().all(|local| local.key.is_none()) {
        return AGENT.fail(&format!("there are no host keys in {}", paths.keys.display()), Exit::NotFound);
    }
    print(&keys, server)
}

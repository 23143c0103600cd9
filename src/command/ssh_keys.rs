//! `scw-agent ssh-keys …`: brings the keys with which root may log in up to date, shows them, removes one, and ends the management.
//!
//! `apply` is the command of scw-agent-ssh-keys.service, which the daemon requests. Root asks the metadata service itself: a request of the
//! daemon proves nothing (invariant D3).

use std::thread;
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::time::timeout;

use crate::account_keys::adopt;
use crate::account_keys::apply::{self, Answer, SECOND_LOOK};
use crate::account_keys::manage::{Manage, WriteTo};
use crate::account_keys::paths::{AccountKeyPaths, KEYS_REQUESTED};
use crate::account_keys::removal::{self, Removal};
use crate::account_keys::report::{KeysReport, ReportedKey};
use crate::account_keys::root_files::RootFiles;
use crate::account_keys::store::{Files, NotApplied};
use crate::account_keys::withdraw::{self, Withdrawn};
use crate::command::exit::Exit;
use crate::command::help::AGENT;
use crate::command::process::{on_this_thread, print, print_error, print_json, print_rows};
use crate::command::rows::{RowMark, Rows, colours_wanted};
use crate::host_keys::paths::HostKeyPaths;
use crate::metadata::api::response::Ask;
use crate::metadata::retry::backoff::Budget;
use crate::metadata::retry::retrying::Retrying;
use crate::metadata::transport::client::Client;
use crate::metadata::transport::exchange::Limits;
use crate::settings::load::LoadedSettings;
use crate::settings::sources::Sources;
use crate::settings::{self, Settings};
use crate::system::platform::{self, PlatformProof};
use crate::system::throttle;
use crate::util::log;

/// The time limit for one answer of the metadata service, far longer than it takes.
const ASK_TIMEOUT: Duration = Duration::from_secs(20);

/// Calls `run` with the files of this machine.
pub(super) fn with_files<T>(run: impl FnOnce(&Files<'_>) -> T) -> T {
    let (keys, sshd, root) = (AccountKeyPaths::default(), HostKeyPaths::default(), RootFiles::of_root());
    run(&Files { keys: &keys, sshd: &sshd, root: &root })
}

/// Brings the keys up to date. With `paced`, a request of the daemon started it.
pub(crate) fn apply(paced: bool) -> Exit {
    log::start("scw-agent-ssh-keys");
    if !geteuid().is_root() {
        tracing::error!("only root may change root's keys");
        return Exit::NotPermitted;
    }
    with_files(|files| {
        if paced {
            throttle::wait(&files.keys.runs);
        }
        let are_requests_removed = remove_requests(files);
        let Some(settings) = load() else { return Exit::Failure };
        let applied = match platform::check(&settings.vendor) {
            _ if settings.ssh_keys == Manage::Off => log_withdrawn(files),
            Err(why) => {
                tracing::info!("{why}; no key is changed");
                Exit::Success
            }
            Ok(proof) => {
                let ask = || ask(&proof, &settings.limits);
                apply_and_report(files, settings.ssh_keys_place, ask, paced)
            }
        };
        are_requests_removed.or(applied)
    })
}

/// The settings. `None` if a file has faults: it may say something else about root's keys. That is reported.
fn load() -> Option<Settings> {
    let LoadedSettings { settings, problems, .. } = settings::load(&Sources::default());
    problems.iter().for_each(|problem| tracing::error!("{problem}; no key is changed"));
    problems.is_empty().then_some(settings)
}

/// Where the keys are. Without the management, only `scw-fetch-ssh-keys` writes some, to root's own file.
fn place(settings: &Settings) -> WriteTo {
    if settings.ssh_keys == Manage::Off { WriteTo::AuthorizedKeys } else { settings.ssh_keys_place }
}

/// Brings the keys up to date at the request of `scw-fetch-ssh-keys`.
pub(crate) fn fetch() -> Exit {
    let Some(settings) = load() else { return Exit::Failure };
    let proof = match platform::check(&settings.vendor) {
        Ok(proof) => proof,
        Err(why) => return AGENT.fail(&why, Exit::Failure),
    };
    let place = place(&settings);
    with_files(|files| apply_and_report(files, place, || ask(&proof, &settings.limits), false))
}

/// Removes the requests: one that remained would start the unit again and again. The daemon repeats what is not done.
fn remove_requests(files: &Files<'_>) -> Exit {
    let requests = files.keys.requests.take(&[KEYS_REQUESTED]);
    let mut problems = requests.problems.clone();
    if let Err(why) = requests.mark_served(KEYS_REQUESTED) {
        problems.push(format!("cannot write in {}: {why}", files.keys.requests.pending.display()));
    }
    problems.iter().for_each(|problem| tracing::error!("{problem}"));
    if problems.is_empty() { Exit::Success } else { Exit::Failure }
}

fn apply_and_report(
    files: &Files<'_>,
    place: WriteTo,
    ask: impl Fn() -> Result<Answer, String>,
    paced: bool,
) -> Exit {
    let applied = apply::apply(files, place, ask, || thread::sleep(SECOND_LOOK));
    let report = match applied {
        Ok(report) => report,
        // The daemon requests another run.
        Err(why @ (NotApplied::NoAnswer(_) | NotApplied::NotConfirmed(_))) => {
            tracing::warn!("{why}");
            return if paced { Exit::Success } else { Exit::Unreachable };
        }
        Err(why) => {
            tracing::error!("{why}");
            // Without an answer, so that the daemon requests another run.
            let report = KeysReport::failed(why.to_string());
            let _ = report.write(&files.keys.report);
            return Exit::Failure;
        }
    };
    for key in report.keys.iter().filter(|key| key.held.is_some()) {
        tracing::warn!("{}; {}", held_text(key), removal_command(&key.fingerprint));
    }
    let problems = report.not_in_force.iter().map(|why| format!("sshd does not read the keys: {why}"));
    problems.chain(report.problems.iter().cloned()).for_each(|problem| tracing::warn!("{problem}"));
    if let Err(why) = report.write(&files.keys.report) {
        tracing::error!("cannot write {}: {why}", files.keys.report.display());
        return Exit::Failure;
    }
    // What an administrator of sshd decided is no failure of the unit.
    if paced || report.not_in_force.is_none() { Exit::Success } else { Exit::Failure }
}

/// One answer of the service to root itself.
fn ask(proof: &PlatformProof, limits: &Limits) -> Result<Answer, String> {
    let answer = on_this_thread(async {
        let client = Client::from_any_port(proof, limits.clone());
        let mut api = Retrying::new(client, Budget::COMMAND);
        let answer = timeout(ASK_TIMEOUT, api.instance_and_owner_data()).await;
        api.into_inner().finish().await;
        answer
    });
    match answer {
        Ok(Ok(Ok((instance, owner)))) => Ok(Answer { instance: instance.id, owner }),
        Ok(Ok(Err(why))) => Err(why.to_string()),
        Ok(Err(_)) => Err(format!("the metadata service gave no answer within {} s", ASK_TIMEOUT.as_secs())),
        Err(why) => Err(format!("cannot start the event loop: {why}")),
    }
}

/// Ends the management, if there is any.
fn log_withdrawn(files: &Files<'_>) -> Exit {
    match withdraw::withdraw(files) {
        Ok(None) => tracing::info!("[ssh-keys] manage is \"off\"; no key is changed"),
        Ok(Some(done)) => {
            tracing::info!("sshd no longer reads the file of the agent; {}", added_text(&done));
        }
        Err(why) => {
            tracing::error!("{why}");
            return Exit::Failure;
        }
    }
    Exit::Success
}

/// Ends the management, for the removal of the package.
pub(crate) fn end() -> Exit {
    if !geteuid().is_root() {
        return AGENT.fail(&"only root may change root's keys", Exit::NotPermitted);
    }
    match with_files(withdraw::withdraw) {
        Ok(None) => print("sshd does not read the file of the agent\n"),
        Ok(Some(done)) => {
            let Settings { ssh_keys, .. } = settings::load(&Sources::default()).settings;
            if ssh_keys != Manage::Off {
                let name = ssh_keys.name();
                print_error(
                    &AGENT,
                    &format!(
                        "[ssh-keys] manage is \"{name}\": the agent will manage keys again; set it to \"off\""
                    ),
                );
            }
            print(&format!("{}\n", added_text(&done)))
        }
        Err(why) => AGENT.fail(&why, Exit::Failure),
    }
}

fn added_text(done: &Withdrawn) -> String {
    match &done.file {
        Some(file) => format!("{} keys were added to {}", done.added, file.display()),
        None => "there were none to keep".to_owned(),
    }
}

/// Removes one key, also the last one.
pub(crate) fn remove(fingerprint: &str) -> Exit {
    if !geteuid().is_root() {
        return AGENT.fail(&"only root may change root's keys", Exit::NotPermitted);
    }
    log::start("scw-agent-ssh-keys");
    let Some(settings) = load() else { return Exit::Failure };
    match with_files(|files| removal::remove(files, place(&settings), fingerprint)) {
        Ok(Removal::Removed) => print(&format!("removed {fingerprint}\n")),
        Ok(Removal::NotThere) => {
            AGENT.fail(&"there is no such key; see `scw-agent ssh-keys show`", Exit::NotFound)
        }
        Err(why) => AGENT.fail(&why, Exit::Failure),
    }
}

/// Sets the file of Scaleway's former package aside.
pub(crate) fn adopt() -> Exit {
    if !geteuid().is_root() {
        return AGENT.fail(&"only root may change root's keys", Exit::NotPermitted);
    }
    log::start("scw-agent-ssh-keys");
    let Some(settings) = load() else { return Exit::Failure };
    match with_files(|files| adopt::adopt(files, place(&settings))) {
        Ok(adopted) => {
            let mut text = format!("{} is now {}\n", adopted.path.display(), adopted.copy.display());
            let dropped = adopted.dropped.iter();
            dropped.for_each(|key| text += &format!("the key {key} was only there\n"));
            print(&text)
        }
        Err(why) => AGENT.fail(&why, Exit::Failure),
    }
}

/// Shows the managed keys. Fails if sshd does not read them.
pub(crate) fn show(json: bool) -> Exit {
    let Some(report) = KeysReport::read(&AccountKeyPaths::default().report) else {
        return AGENT.fail(
            &"the agent has not brought root's keys up to date in this boot; see [ssh-keys] in /etc/scw-agent.toml",
            Exit::NotFound,
        );
    };
    let printed = if json {
        print_json(&serde_json::json!(report.shown()).to_string())
    } else {
        print_rows(&rows(&report))
    };
    printed.or(if report.is_complete && report.not_in_force.is_none() {
        Exit::Success
    } else {
        Exit::Failure
    })
}

fn rows(report: &KeysReport) -> Rows {
    let mut rows = Rows::new(colours_wanted());
    for key in &report.keys {
        let source = key.source.map_or("by hand", |source| source.text());
        let mark = match key {
            _ if report.not_in_force.is_some() => RowMark::Bad,
            ReportedKey { accepted: false, .. } => RowMark::Bad,
            ReportedKey { held: Some(_), .. } => RowMark::Waiting,
            _ => RowMark::Good,
        };
        rows.row(mark, source, &format!("{} {} {}", key.algorithm, key.fingerprint, key.comment));
        if !key.accepted {
            rows.below("sshd's configuration does not accept keys of this type or size");
        }
        if key.held.is_some() {
            rows.below(&format!("{}; {}", held_text(key), removal_command(&key.fingerprint)));
        }
    }
    if let Some(why) = &report.not_in_force {
        rows.plain(&format!("sshd does not read these keys: {why}"));
    }
    for line in &report.removed_elsewhere {
        rows.plain(&format!("removed by the owner, and still in {line}"));
    }
    report.problems.iter().for_each(|problem| rows.plain(problem));
    rows
}

fn held_text(key: &ReportedKey) -> String {
    let why = key.held.as_deref().unwrap_or_default();
    format!("{} is not listed any more and stays: {why}", key.fingerprint)
}

fn removal_command(fingerprint: &str) -> String {
    format!("`scw-agent ssh-keys remove {fingerprint}` removes it")
}

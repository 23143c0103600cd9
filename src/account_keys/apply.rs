//! One run: asks for the keys, writes the file, makes sshd read it, and reports (invariants K1, K2, K3).
//!
//! Nothing is decided here ([`crate::account_keys::decide`]). Each write is one complete file, so a run can be killed at any time, and the
//! next one does the rest. The file is written before sshd is told to read it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::account_keys::accepted::AcceptedKeys;
use crate::account_keys::decide;
use crate::account_keys::install::RootKeys;
use crate::account_keys::key_line::KeyLine;
use crate::account_keys::key_sources::{KeySource, WantedKeys};
use crate::account_keys::managed_keys::ManagedKeys;
use crate::account_keys::paths::AccountKeyPaths;
use crate::account_keys::report::KeysReport;
use crate::account_keys::sshd_drop_in;
use crate::host_keys::paths::HostKeyPaths;
use crate::identity::record;
use crate::metadata::api::instance::InstanceId;
use crate::metadata::api::owner_data::OwnerData;
use crate::util::files;
use crate::util::labels::restore_labels;

/// The time between the two answers without which no key is removed.
pub(crate) const SECOND_LOOK: Duration = Duration::from_secs(15);
/// How long a run waits for another one, which itself may wait for [`SECOND_LOOK`] and for the service.
const LOCK_TIMEOUT: Duration = Duration::from_secs(90);
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The keys of another Instance are a way in as long as there is no other.
const OTHERS_KEYS: &str = "the keys of another Instance, whose disk this is a copy of, stay until this Instance has a key of its own";

/// What the service says.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) instance: InstanceId,
    pub(crate) owner: OwnerData,
}

/// Why a run ended early. No key was removed.
#[derive(Debug, Error)]
pub(crate) enum NotApplied {
    /// The service gave no complete answer. A later run may get one.
    #[error("{0}; no key is removed")]
    NoAnswer(String),
    /// The host-keys units have not confirmed that the answer belongs to this machine.
    #[error("it is not confirmed yet that this is the Instance {0}; no key is changed")]
    NotConfirmed(InstanceId),
    /// A file cannot be used.
    #[error("{}: {}; no key is removed", .0.display(), .1)]
    File(PathBuf, #[source] io::Error),
}

/// The files that a run uses.
pub(crate) struct Files<'a> {
    pub(crate) keys: &'a AccountKeyPaths,
    pub(crate) sshd: &'a HostKeyPaths,
    pub(crate) root: &'a RootKeys,
}

/// Applies the keys. `ask` asks the service, and `wait` waits for [`SECOND_LOOK`].
///
/// # Errors
/// See [`NotApplied`].
pub(crate) fn apply(
    files: &Files<'_>,
    ask: impl Fn() -> Result<Answer, String>,
    wait: impl FnOnce(),
) -> Result<KeysReport, NotApplied> {
    let _lock = lock(files.keys)?;
    // What an administrator changed must apply, whatever the service says.
    let in_force = files.keys.drop_in.exists().then(|| sshd_drop_in::put_in_force(files.keys, files.sshd));
    let answer = ask_for_this_instance(files, &ask)?;
    let before = ManagedKeys::parse(&read(&files.keys.file)?);
    let mut report = KeysReport::default();
    let first = wanted_keys(files, &answer.owner, &before, &mut report);
    if before.has_keys_of_another(&answer.instance) && first.keys.is_empty() {
        report.problems.push(OTHERS_KEYS.to_owned());
        report.answer = Some(answer.owner.digest());
        return Ok(report);
    }
    let before = decide::of_instance(before, &answer.instance);
    let (current, needs_second) = decide::after_first(&before, &first);
    if current.keys.is_empty() && !files.keys.file.exists() {
        report.problems.push("there is no key in the account, in a tag or in instance_keys".to_owned());
        report.answer = Some(answer.owner.digest());
        return Ok(report);
    }
    write(&files.keys.file, &current)?;
    let printed = in_force.unwrap_or_else(|| sshd_drop_in::put_in_force(files.keys, files.sshd));
    report.not_in_force = printed.as_ref().err().map(ToString::to_string);
    let printed = printed.unwrap_or_default();
    let accepted = AcceptedKeys::of_printed(&printed.0);
    let second = if needs_second {
        wait();
        let again = ask_for_this_instance(files, &ask)?;
        // If they differ, a key that is in one of them only is decided in another run.
        report.answer = (again.owner == answer.owner).then(|| again.owner.digest());
        wanted_keys(files, &again.owner, &before, &mut report)
    } else {
        report.answer = Some(answer.owner.digest());
        first.clone()
    };
    // A key with options may be for one command only, and of a key that sshd does not read nothing is known.
    let is_usable =
        |line: &KeyLine| report.not_in_force.is_none() && !line.has_options() && accepted.accepts(line);
    let decision = decide::after_second(&current, &first, &second, is_usable);
    write(&files.keys.file, &decision.keys)?;
    for line in &decision.removed {
        tracing::info!("root can no longer log in with the key {}", line.key().fingerprint());
    }
    report.complete(&decision, &second, &accepted);
    for file in sshd_drop_in::files_of_root(&printed, files.keys, files.root.home()) {
        report.find_removed_keys(&file, &decision.keys.removed);
    }
    Ok(report)
}

/// The lock of a run.
pub(super) fn lock(paths: &AccountKeyPaths) -> Result<files::Lock, NotApplied> {
    let made = paths.lock.parent().map_or(Ok(()), files::create_private_subfolder);
    made.and_then(|()| files::lock_within(&paths.lock, LOCK_TIMEOUT))
        .map_err(|why| NotApplied::File(paths.lock.clone(), why))
}

/// An answer, if it is about the Instance in the identity record. The host-keys units write that with evidence of the hypervisor, if there
/// is any, and after they have replaced the host keys of a clone.
fn ask_for_this_instance(
    files: &Files<'_>,
    ask: impl Fn() -> Result<Answer, String>,
) -> Result<Answer, NotApplied> {
    let answer = ask().map_err(NotApplied::NoAnswer)?;
    let recorded = record::read(&files.sshd.record).ok().flatten();
    if recorded.is_none_or(|recorded| recorded.instance != answer.instance) {
        return Err(NotApplied::NotConfirmed(answer.instance));
    }
    Ok(answer)
}

/// The wanted keys. If root's own file cannot be read, those that came from it stay wanted.
fn wanted_keys(
    files: &Files<'_>,
    owner: &OwnerData,
    before: &ManagedKeys,
    report: &mut KeysReport,
) -> WantedKeys {
    let own = files.root.instance_keys().unwrap_or_else(|why| {
        report.problems.push(format!("{why}; the keys that were in it stay"));
        let is_own = |source| source == Some(KeySource::InstanceKeys);
        let lines = before.keys.iter().filter(|key| is_own(key.source)).map(|key| key.line.text() + "\n");
        lines.collect()
    });
    WantedKeys::of(owner, &own)
}

/// The text of the file of the managed keys; empty if there is none.
pub(super) fn read(path: &Path) -> Result<String, NotApplied> {
    let text = files::read_bounded(path, MAX_BYTES);
    let text = text.map_err(|why| NotApplied::File(path.to_owned(), why))?;
    Ok(String::from_utf8_lossy(&text.unwrap_or_default()).into_owned())
}

/// Writes the file, if its text changes.
pub(super) fn write(path: &Path, keys: &ManagedKeys) -> Result<(), NotApplied> {
    let text = keys.text();
    if read(path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    let folder = path.parent().map_or(Ok(()), files::create_public_folder);
    folder
        .and_then(|()| files::write_atomic(path, text.as_bytes(), 0o600))
        .map_err(|why| NotApplied::File(path.to_owned(), why))?;
    restore_labels(path);
    Ok(())
}

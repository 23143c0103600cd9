//! One run: asks for the keys, writes the file, makes sshd read it, and reports (invariants K1, K2, K3).
//!
//! Nothing is decided here ([`crate::account_keys::decide`]). Each write is one complete file, so a run can be killed at any time, and the
//! next one does the rest. The keys are written before sshd is told to read them.

use std::time::Duration;

use crate::account_keys::decide;
use crate::account_keys::key_line::KeyLine;
use crate::account_keys::key_sources::{KeySource, WantedKeys};
use crate::account_keys::manage::WriteTo;
use crate::account_keys::managed_keys::ManagedKeys;
use crate::account_keys::placement::Placement;
use crate::account_keys::report::KeysReport;
use crate::account_keys::store::{Files, NotApplied, lock};
use crate::identity::record;
use crate::metadata::api::instance::InstanceId;
use crate::metadata::api::owner_data::OwnerData;

/// The time between the two answers without which no key is removed.
pub(crate) const SECOND_LOOK: Duration = Duration::from_secs(15);

/// The keys of another Instance are a way in as long as there is no other.
const OTHERS_KEYS: &str = "the keys of another Instance, whose disk this is a copy of, stay until this Instance has a key of its own";
const NO_KEY: &str = "there is no key in the account, in a tag or in instance_keys";

/// What the service says.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) instance: InstanceId,
    pub(crate) owner: OwnerData,
}

/// Applies the keys. `ask` asks the service, and `wait` waits for [`SECOND_LOOK`].
///
/// # Errors
/// See [`NotApplied`].
pub(crate) fn apply(
    files: &Files<'_>,
    write_to: WriteTo,
    ask: impl Fn() -> Result<Answer, String>,
    wait: impl FnOnce(),
) -> Result<KeysReport, NotApplied> {
    let _lock = lock(files.keys)?;
    let mut placement = Placement::open(files, write_to)?;
    let accepted = placement.accepted();
    let answer = ask_for_this_instance(files, &ask)?;
    let parts = placement.keys();
    let has_others_keys = parts.iter().any(|keys| keys.has_keys_of_another(&answer.instance));
    let own = parts.into_iter().map(|keys| decide::of_instance(keys, &answer.instance));
    let before = own.reduce(ManagedKeys::join).unwrap_or_default();
    let mut report = KeysReport::default();
    let first = wanted_keys(files, &answer.owner, &before, &mut report);
    let has_a_way_in = first.keys.iter().any(|key| accepted.is_a_way_in(&key.line));
    let nothing_to_do = match (has_others_keys, first.keys.is_empty() && placement.is_nowhere()) {
        (true, _) if !has_a_way_in => Some(OTHERS_KEYS),
        (_, true) => Some(NO_KEY),
        _ => None,
    };
    if let Some(why) = nothing_to_do {
        report.problems.push(why.to_owned());
        report.answer = Some(answer.owner.digest());
        return Ok(report);
    }
    let (current, needs_second) = decide::after_first(&before, &first);
    placement.put(&current)?;
    report.not_in_force = placement.put_in_force().err().map(|why| why.to_string());
    let accepted = placement.accepted();
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
    // Of a key that sshd does not read nothing is known.
    let is_usable = |line: &KeyLine| report.not_in_force.is_none() && accepted.is_a_way_in(line);
    let decision = decide::after_second(&current, &first, &second, is_usable);
    let mut problems = placement.put(&decision.keys)?;
    for line in &decision.removed {
        tracing::info!("the key {} was removed from the managed keys of root", line.key().fingerprint());
    }
    report.complete(&decision, &second, &accepted);
    if report.not_in_force.is_none() {
        problems.extend(placement.leave_other_places());
    }
    report.problems.append(&mut problems);
    for file in placement.files_of_persons() {
        report.find_removed_keys(&file, &decision.keys);
    }
    Ok(report)
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
        let keys = before.keys.iter().filter(|key| is_own(key.source));
        keys.map(|key| key.line.text() + "\n").collect()
    });
    WantedKeys::of(owner, &own)
}

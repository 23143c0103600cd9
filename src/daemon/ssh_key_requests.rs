//! Requests the unit that brings root's keys up to date: once in each boot, when sshd's configuration has changed, and, with
//! `[ssh-keys] manage = "live"`, when the service lists other keys than at the last run (invariant K2).
//!
//! The unit asks the service itself; what the daemon saw proves nothing (invariant D3). A request that was not served is repeated with
//! growing pauses.

use crate::account_keys::manage::Manage;
use crate::account_keys::paths::{AccountKeyPaths, KEYS_REQUESTED};
use crate::account_keys::report::KeysReport;
use crate::daemon::repetition::Repetition;
use crate::metadata::api::response::Ask;
use crate::metadata::error::ErrorKind;
use crate::settings::Settings;
use crate::util::log_once::LogOnce;

/// What is requested, and when it is requested again.
#[derive(Debug, Default)]
pub(crate) struct SshKeyRequests {
    turns: Repetition,
    failure: LogOnce,
    look_failure: LogOnce,
    /// The keys that the service listed last.
    listed: Option<String>,
    is_configuration_new: bool,
}

impl SshKeyRequests {
    /// Notes that sshd's configuration has changed: the managed keys may not be in force any more.
    pub(crate) fn note_new_configuration(&mut self) {
        self.is_configuration_new = true;
    }

    /// Makes what is not done due now: something changed, so it may succeed.
    pub(crate) fn restart(&mut self) {
        self.turns.restart();
    }

    /// Sends a request if one is due. With `can_ask`, the service was reached and this machine's Instance is confirmed.
    pub(crate) async fn check(
        &mut self,
        api: &mut impl Ask,
        settings: &Settings,
        paths: &AccountKeyPaths,
        can_ask: bool,
    ) {
        let report = KeysReport::read(&paths.report);
        if can_ask && settings.ssh_keys == Manage::Live {
            self.look(api).await;
        }
        let is_new_answer = |report: KeysReport| match settings.ssh_keys {
            Manage::Live => self.listed.is_some() && report.answer != self.listed,
            Manage::Boot | Manage::Off => report.answer.is_none(),
        };
        let is_wanted = match settings.ssh_keys {
            // The unit ends the management.
            Manage::Off => report.is_some() || paths.drop_in.exists() || paths.file.exists(),
            Manage::Boot | Manage::Live => {
                // A drop-in repeats what an administrator may have changed.
                let is_outdated = self.is_configuration_new && (can_ask || paths.drop_in.exists());
                is_outdated || can_ask && report.is_none_or(is_new_answer)
            }
        };
        if self.is_configuration_new {
            self.turns.restart();
        }
        if is_wanted && self.turns.is_due() {
            self.send(paths);
        }
    }

    /// Asks the service which keys it lists.
    async fn look(&mut self, api: &mut impl Ask) {
        let listed = api.owner_data().await.map(|owner| owner.digest());
        // That it is unreachable is reported once, by the round.
        let failure = listed.as_ref().err().filter(|why| why.kind() != ErrorKind::Unreachable);
        self.look_failure
            .warn(failure.map(|why| format!("cannot learn which SSH keys the owner has: {why}")));
        if let Ok(listed) = listed {
            if self.listed.as_ref() != Some(&listed) {
                self.listed = Some(listed);
                self.turns.restart();
            }
        }
    }

    fn send(&mut self, paths: &AccountKeyPaths) {
        let failure = paths.requests.send(KEYS_REQUESTED).err().map(|why| {
            let folder = paths.requests.requests.display();
            format!("cannot request the unit that brings root's keys up to date (writing in {folder}): {why}")
        });
        self.is_configuration_new = failure.is_some();
        self.failure.error(failure);
        self.turns.note_sent();
    }
}

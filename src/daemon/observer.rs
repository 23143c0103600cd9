//! Learning what the machine is: the Instance, and whether it has scripts, for which PID 1 is asked to start the setup runner: a path unit
//! watches for a file. The daemon itself runs nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::board::Board;
use crate::metadata::{Ask, ErrorKind, MetadataError, UserDataKey};
use crate::setup::{self, Digest, Places, SETUP_REQUESTED, ScriptKind, Summary};

/// A runner that is at work needs no second request soon; one that failed to reach the service does.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// What was learned in this life of the daemon.
#[derive(Debug, Default)]
pub(super) struct Observer {
    knows_instance: bool,
    has_scripts: Option<bool>,
    /// The contents that the runner was asked for because they were new.
    asked_for: BTreeMap<UserDataKey, Digest>,
}

impl Observer {
    /// Learns what is not known yet.
    pub(super) async fn observe(&mut self, api: &mut impl Ask, board: &Board) -> Result<(), MetadataError> {
        if self.has_scripts.is_none() {
            board.instance(api.instance().await?);
            self.knows_instance = true;
            let keys = api.list().await?;
            let has_scripts = keys.iter().any(setup::is_of_a_boot);
            board.has_scripts(has_scripts);
            self.has_scripts = Some(has_scripts);
        }
        Ok(())
    }

    /// Whether the service has told which Instance this is.
    pub(super) fn knows_instance(&self) -> bool {
        self.knows_instance
    }

    /// Asks for the runner, unless it has done this boot's work. Where it was asked for, when to look at that again.
    pub(super) fn ask_for_runner(&self, places: &Places) -> Option<Duration> {
        let is_due = self.has_scripts == Some(true) && !places.summary.exists();
        // A run that was requested for a changed script may have failed to reach the service, or was killed.
        if !is_due && !places.requests.has_unserved() {
            return None;
        }
        ask(places);
        Some(ASK_AGAIN)
    }

    /// Sees whether a setup script is another than the one that this boot's work knew, and asks for the runner once for each new content.
    /// Only digests are kept; the runner decides by itself what is due.
    pub(super) async fn look_for_changes(
        &mut self,
        api: &mut impl Ask,
        board: &Board,
        places: &Places,
    ) -> Result<(), MetadataError> {
        let known = match Summary::read(&places.summary) {
            Ok(Some(summary)) => summary.scripts,
            _ if self.has_scripts == Some(false) => Vec::new(),
            // The boot's work is still to be done, and will see them.
            _ => return Ok(()),
        };
        for key in api.list().await? {
            if ScriptKind::of(&key) != Some(ScriptKind::Setup) {
                continue;
            }
            let digest = match api.get(&key).await {
                Ok(Some(value)) => Digest::of(&value),
                Ok(None) => continue,
                Err(why) if why.kind() == ErrorKind::BadAnswer => continue,
                Err(why) => return Err(why),
            };
            let is_known = |script: &setup::ScriptSummary| {
                script.key == key.as_str() && script.digest.as_ref() == Some(&digest)
            };
            if !known.iter().any(is_known) && self.asked_for.get(&key) != Some(&digest) {
                tracing::info!("{key} changed; the setup runner is asked for");
                ask(places);
                board.has_scripts(true);
                self.has_scripts = Some(true);
                self.asked_for.insert(key, digest);
            }
        }
        Ok(())
    }
}

/// The runner takes the file away when it starts.
fn ask(places: &Places) {
    if let Err(why) = places.requests.send(SETUP_REQUESTED) {
        let folder = places.requests.requests.display();
        tracing::error!("cannot request the setup runner (writing in {folder}): {why}");
    }
}

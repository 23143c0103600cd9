//! Learning what the machine is: the Instance, and whether it has scripts, for which PID 1 is asked to start the setup runner: a path unit
//! watches for a file. The daemon itself runs nothing.

use crate::scripts::history::summary::ScriptSummary;
use crate::scripts::model::likely_key::{self, suspect_keys};
use crate::scripts::runner::fetch::is_of_a_boot;
use std::time::Duration;

use crate::daemon::runner_requests::RunnerRequests;
use crate::daemon::shared_status::SharedStatus;
use crate::metadata::api::response::Ask;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::metadata::error::{ErrorKind, MetadataError};
use crate::scripts::history::summary::Summary;
use crate::scripts::model::script::{Digest, ScriptKind};
use crate::scripts::paths::SetupPaths;

/// What was learned in this life of the daemon.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    knows_instance: bool,
    has_scripts: Option<bool>,
    has_suspect_keys: bool,
    /// How many keys had names that cannot be used, so that they are logged once (T5).
    unusable: usize,
    /// The contents that the runner was asked for because they were new.
    asked_for: Vec<(UserDataKey, Digest)>,
    /// Whether systemd's lock of the service was met, which the daemon could not pass.
    is_locked_out: bool,
    requests: RunnerRequests,
}

impl Observer {
    /// Learns which Instance this is, if that is not known yet.
    pub(crate) async fn learn_instance(
        &mut self,
        api: &mut impl Ask,
        board: &SharedStatus,
    ) -> Result<(), MetadataError> {
        if !self.knows_instance {
            board.instance(api.instance().await?);
            self.knows_instance = true;
        }
        Ok(())
    }

    /// Learns whether there are scripts, if that is not known yet, and which keys are likely mistakes. `outcome` is the agent's own key.
    ///
    /// While there are such keys, it looks again: their owner may have put them right. What that means for scripts is the next boot's.
    pub(crate) async fn observe(
        &mut self,
        api: &mut impl Ask,
        board: &SharedStatus,
        outcome: Option<&UserDataKey>,
    ) -> Result<(), MetadataError> {
        if self.has_scripts.is_some() && !self.has_suspect_keys {
            return Ok(());
        }
        let (keys, unusable) = api.list_and_rest().await?;
        let has_scripts = self.has_scripts.unwrap_or_else(|| keys.iter().any(is_of_a_boot));
        let suspect = suspect_keys(&keys, outcome);
        self.has_scripts = Some(has_scripts);
        self.has_suspect_keys = !suspect.is_empty();
        if !has_scripts && unusable > 0 && unusable != self.unusable {
            tracing::warn!("{}", likely_key::unusable(unusable));
        }
        self.unusable = unusable;
        board.user_data(has_scripts, Some(suspect));
        Ok(())
    }

    /// Asks for the runner if there is work for it that it has not done in this boot: scripts, or an `outcome` to publish, which is there without
    /// scripts, too. Returns when to look at that again.
    pub(crate) fn ask_for_runner(&mut self, places: &SetupPaths, outcome: bool) -> Option<Duration> {
        let has_work = self.has_scripts.is_some_and(|has_scripts| has_scripts || outcome);
        let is_due = has_work && !matches!(Summary::read(&places.summary), Ok(Some(_)));
        // A run that was requested for a changed script may have failed to reach the service, or was killed.
        (is_due || places.requests.has_unserved()).then(|| self.requests.ask_if_due(places))
    }

    /// The next request may have a better end than the last ones: something changed.
    pub(crate) fn ask_anew(&mut self) {
        self.requests.start_anew();
    }

    /// Leaves to root what the daemon cannot do: the service is locked for the daemon, and root may pass. Requests that root cannot serve
    /// either are repeated as all others are.
    pub(crate) fn leave_to_root(&mut self, places: &SetupPaths) {
        if !self.is_locked_out && !places.summary.exists() {
            tracing::info!("the metadata service is locked for the daemon; requesting the setup runner");
            self.requests.ask(places);
        }
        self.is_locked_out = true;
    }

    /// Whether root can ask which Instance this is: the service has told it to the daemon, or is locked for the daemon alone.
    pub(crate) fn root_can_ask(&self) -> bool {
        self.knows_instance || self.is_locked_out
    }

    /// Sees whether a setup script is another than the one that this boot's work knew, and asks for the runner once for each new content.
    /// Only digests are kept; the runner decides by itself what is due.
    pub(crate) async fn look_for_changes(
        &mut self,
        api: &mut impl Ask,
        board: &SharedStatus,
        places: &SetupPaths,
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
            let is_known = |script: &ScriptSummary| {
                script.key == key.as_str() && script.digest.as_ref() == Some(&digest)
            };
            let is_asked_for = self.asked_for.iter().any(|(known, asked)| *known == key && *asked == digest);
            if !known.iter().any(is_known) && !is_asked_for {
                tracing::info!("{key} changed; the setup runner is asked for");
                self.requests.ask(places);
                board.user_data(true, None);
                self.has_scripts = Some(true);
                self.asked_for.retain(|(known, _)| *known != key);
                self.asked_for.push((key, digest));
            }
        }
        Ok(())
    }
}

//! Learns which Instance this is and whether it has scripts, and requests the setup runner from PID 1: it
//! writes a request file that a path unit watches. The daemon itself runs nothing.

use std::time::Duration;

use crate::daemon::runner_requests::RunnerRequests;
use crate::daemon::shared_status::SharedStatus;
use crate::metadata::api::response::Ask;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::metadata::error::{ErrorKind, MetadataError};
use crate::scripts::history::summary::{ScriptSummary, Summary};
use crate::scripts::model::likely_key::{self, suspect_keys};
use crate::scripts::model::script::{Digest, ScriptKind};
use crate::scripts::paths::SetupPaths;
use crate::scripts::runner::fetch::runs_at_boot;

/// What this daemon process has learned.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    instance_known: bool,
    has_scripts: Option<bool>,
    has_suspect_keys: bool,
    /// The number of keys with unusable names at the last listing, so that they are logged once (T5).
    unusable_keys: usize,
    /// The new script contents for which the setup runner was requested.
    requested: Vec<(UserDataKey, Digest)>,
    /// Whether the metadata service was found locked by systemd, which the daemon could not pass.
    is_locked_out: bool,
    requests: RunnerRequests,
}

impl Observer {
    /// Learns which Instance this is, if that is not known yet.
    pub(crate) async fn learn_instance(
        &mut self,
        api: &mut impl Ask,
        shared_status: &SharedStatus,
    ) -> Result<(), MetadataError> {
        if !self.instance_known {
            shared_status.set_instance(api.instance().await?);
            self.instance_known = true;
        }
        Ok(())
    }

    /// Whether the metadata service told which Instance this is.
    pub(crate) fn knows_instance(&self) -> bool {
        self.instance_known
    }

    /// Whether it is known if there are scripts.
    pub(crate) fn knows_scripts(&self) -> bool {
        self.has_scripts.is_some()
    }

    /// Learns whether there are scripts, if that is not known yet, and which keys are likely mistakes.
    /// `outcome` is the key that the agent writes itself.
    ///
    /// While there are such keys, each round lists them again, because their owner may have corrected them. A
    /// script that appears this way runs at the next boot.
    pub(crate) async fn list_scripts(
        &mut self,
        api: &mut impl Ask,
        shared_status: &SharedStatus,
        outcome: Option<&UserDataKey>,
    ) -> Result<(), MetadataError> {
        if self.has_scripts.is_some() && !self.has_suspect_keys {
            return Ok(());
        }
        let (keys, unusable_keys) = api.list_with_unusable().await?;
        let has_scripts = self.has_scripts.unwrap_or_else(|| keys.iter().any(runs_at_boot));
        let suspect = suspect_keys(&keys, outcome);
        self.has_scripts = Some(has_scripts);
        self.has_suspect_keys = !suspect.is_empty();
        if !has_scripts && unusable_keys > 0 && unusable_keys != self.unusable_keys {
            tracing::warn!("{}", likely_key::unusable_keys_hint(unusable_keys));
        }
        self.unusable_keys = unusable_keys;
        shared_status.set_user_data(has_scripts, Some(suspect));
        Ok(())
    }

    /// Requests the setup runner if it has work that is not done in this boot: scripts, or an `outcome` to
    /// publish, which also exists without scripts. Returns when to check this again.
    pub(crate) fn request_runner(&mut self, paths: &SetupPaths, outcome: bool) -> Option<Duration> {
        let has_pending_work = self.has_scripts.is_some_and(|has_scripts| has_scripts || outcome);
        let is_due = has_pending_work && !matches!(Summary::read(&paths.summary), Ok(Some(_)));
        // A run that was requested for a changed script may have failed to reach the service, or may have
        // been killed.
        (is_due || paths.requests.has_unserved()).then(|| self.requests.send_if_due(paths))
    }

    /// Makes the next request due now, because something changed and it may succeed.
    pub(crate) fn reset_backoff(&mut self) {
        self.requests.reset_backoff();
    }

    /// Requests the setup runner when the metadata service is locked for the daemon, because root may pass
    /// the lock. Requests that root cannot serve either are repeated like all others.
    pub(crate) fn defer_to_root(&mut self, paths: &SetupPaths) {
        if !self.is_locked_out && !paths.summary.exists() {
            tracing::info!("the metadata service is locked for the daemon; requesting the setup runner");
            self.requests.send(paths);
        }
        self.is_locked_out = true;
    }

    /// Whether root can learn which Instance this is: the service answered the daemon, or it is locked for
    /// the daemon alone.
    pub(crate) fn root_can_query_instance(&self) -> bool {
        self.instance_known || self.is_locked_out
    }

    /// Checks whether a setup script differs from the one that this boot's run used, and requests the setup
    /// runner once for each new content. Only digests are kept; the setup runner decides itself what is due.
    pub(crate) async fn request_changed_scripts(
        &mut self,
        api: &mut impl Ask,
        shared_status: &SharedStatus,
        paths: &SetupPaths,
    ) -> Result<(), MetadataError> {
        let known_scripts = match Summary::read(&paths.summary) {
            Ok(Some(summary)) => summary.scripts,
            _ if self.has_scripts == Some(false) => Vec::new(),
            // This boot's run is still pending and will read them.
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
            let is_requested =
                self.requested.iter().any(|(other, content)| *other == key && *content == digest);
            if !known_scripts.iter().any(is_known) && !is_requested {
                tracing::info!("{key} changed; requesting the setup runner");
                self.requests.send(paths);
                shared_status.set_user_data(true, None);
                self.has_scripts = Some(true);
                self.requested.retain(|(other, _)| *other != key);
                self.requested.push((key, digest));
            }
        }
        Ok(())
    }
}

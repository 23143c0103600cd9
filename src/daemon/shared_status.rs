//! What the tasks have learned, in one place: a [`Status`] that can be read at any time and watched for
//! changes. A change is logged where it happens (invariant T5).

use tokio::sync::watch;

use crate::host_keys::key::public_key::PublicKey;
use crate::host_keys::sshd::server::SshServer;
use crate::host_keys::store::key_file::public_path;
use crate::host_keys::store::served::{KeyProblem, LocalKeys};
use crate::metadata::api::instance::Instance;
use crate::metadata::error::{ErrorKind, MetadataError};
use crate::metadata::family::Family;
use crate::scripts::model::likely_key::suspect_key_hint;
use crate::status::document::{HostKey, Problem, Status};
use crate::status::states::{Fingerprints, Platform, Reachability};
use crate::util::time::Moment;

/// The shared status. Clones share its content.
#[derive(Clone)]
pub(crate) struct SharedStatus(watch::Sender<Status>);

impl SharedStatus {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Status::unknown()))
    }

    pub(crate) fn read(&self) -> Status {
        self.0.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Status> {
        self.0.subscribe()
    }

    /// Whether the right value was published when it was last read.
    pub(crate) fn is_published(&self) -> bool {
        matches!(self.0.borrow().fingerprints, Fingerprints::Published { .. })
    }

    /// Whether there is something to publish, and it was never published.
    pub(crate) fn will_publish(&self) -> bool {
        let status = self.0.borrow();
        status.fingerprints == Fingerprints::Waiting && status.ssh_server != SshServer::NotEnabled
    }

    pub(crate) fn is_instance(&self) -> bool {
        self.0.borrow().platform == Platform::Instance
    }

    /// Changes the status, and notifies the watchers only if it differs from before.
    fn change(&self, change: impl FnOnce(&mut Status)) {
        self.0.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            *status != before
        });
    }

    pub(crate) fn set_instance(&self, instance: Instance) {
        self.change(|status| status.instance = Some(instance));
    }

    /// Sets whether this is a Scaleway Instance. Logs when it is not one, and when that changes.
    pub(crate) fn set_platform(&self, platform: Platform) {
        self.change(|status| {
            if status.platform != platform {
                match &platform {
                    Platform::Instance => {
                        tracing::info!("the metadata service is trusted on this machine, as configured")
                    }
                    Platform::NotAnInstance { why } => {
                        tracing::info!("{why}; the metadata service is not queried")
                    }
                }
            }
            status.platform = platform;
        });
    }

    /// Sets the problems of the configuration files that are ignored.
    pub(crate) fn set_configuration_problems(&self, problems: Vec<String>) {
        self.change(|status| status.configuration = problems);
    }

    /// Records whether the Instance and the list of user data could be read from the service's answers. Logs
    /// when that changes (T5).
    pub(crate) fn set_answers_usable(&self, observed: &Result<(), MetadataError>) {
        let unusable = observed.as_ref().err().filter(|why| is_unusable_answer(why)).map(ToString::to_string);
        self.change(|status| {
            match (&status.unusable_answer, &unusable) {
                (None, Some(why)) => tracing::warn!("{why}; trying again from time to time"),
                (Some(_), None) if observed.is_ok() => {
                    tracing::info!("the answers of the metadata service are usable again")
                }
                _ => {}
            }
            status.unusable_answer = unusable;
        });
    }

    /// Records what the list of user data contains: whether there are scripts, and which keys are likely
    /// mistakes. New mistakes are logged only if no script is due; otherwise the setup runner logs them.
    pub(crate) fn set_user_data(&self, has_scripts: bool, suspect: Option<Vec<String>>) {
        self.change(|status| {
            status.has_scripts = Some(has_scripts);
            let Some(suspect) = suspect else { return };
            for key in &suspect {
                if !has_scripts && !status.suspect_keys.contains(key) {
                    tracing::warn!("{}", suspect_key_hint(key));
                }
            }
            status.suspect_keys = suspect;
        });
    }

    /// Records that the service answered. Logs it if it did not answer before (invariant T5).
    pub(crate) fn set_reached(&self, family: Option<Family>) {
        self.change(|status| match &mut status.metadata {
            Reachability::Reachable { family: family_so_far, .. } => {
                *family_so_far = family.or(*family_so_far)
            }
            _ => {
                let over = family.map(|family| format!(" over {family}")).unwrap_or_default();
                tracing::info!("the metadata service answers{over}");
                status.metadata = Reachability::Reachable { family, since: Moment::now() };
            }
        });
    }

    /// Records that the service did not answer. Logs it once, until the service answers again (invariant T5).
    pub(crate) fn set_not_reached(&self, why: &str) {
        self.change(|status| {
            if !matches!(status.metadata, Reachability::Unreachable { .. }) {
                tracing::warn!("{why}; trying again from time to time");
                status.metadata = Reachability::Unreachable { since: Moment::now(), why: why.to_owned() };
            }
        });
    }

    /// Sets the machine's host keys and their problems. Logs a problem when it is new (T5).
    pub(crate) fn set_host_keys(&self, keys: &LocalKeys) {
        let shown = keys.keys.iter().map(|local| {
            let key = local.key.as_ref();
            HostKey {
                file: public_path(&local.path).display().to_string(),
                type_name: key.map(|key| key.type_name.clone()),
                bits: key.map(|key| key.bits),
                fingerprint: key.map(PublicKey::fingerprint),
                comment: key.map(|key| key.comment.clone()),
                served: local.served,
                problem: key.is_none().then(|| "there is no key that sshd can load".to_owned()),
            }
        });
        let problem =
            |problem: &KeyProblem| Problem { what: problem.what.clone(), remedy: problem.remedy.clone() };
        self.change(|status| {
            status.host_keys = shown.collect();
            let problems: Vec<_> = keys.problems.iter().map(problem).collect();
            for new in problems.iter().filter(|new| !status.host_key_problems.contains(new)) {
                tracing::warn!("{}; {}", new.what, new.remedy);
            }
            status.host_key_problems = problems;
        });
    }

    /// Records that it is not known yet whether the keys belong to this Instance.
    pub(crate) fn set_keys_not_confirmed(&self) {
        self.change(|status| status.fingerprints = Fingerprints::Waiting);
    }

    /// Sets whether an OpenSSH server is enabled. Logs when none is enabled, and when that changes.
    pub(crate) fn set_ssh_server(&self, server: SshServer) {
        self.change(|status| {
            match (status.ssh_server, server) {
                (before, SshServer::NotEnabled) if before != server => {
                    tracing::info!("no OpenSSH server is enabled; fingerprints are not published");
                }
                (SshServer::NotEnabled, after) if after != SshServer::NotEnabled => {
                    tracing::info!("an OpenSSH server is enabled; its fingerprints are published");
                }
                _ => {}
            }
            status.ssh_server = server;
        });
    }

    /// Records that nothing is published, and nothing should be.
    pub(crate) fn set_withdrawn(&self) {
        self.change(|status| status.fingerprints = Fingerprints::Waiting);
    }

    pub(crate) fn set_no_keys(&self) {
        self.change(|status| status.fingerprints = Fingerprints::NoKeys);
    }

    /// Records that the right value was read at this time.
    pub(crate) fn set_published(&self, checked: Moment) {
        self.change(|status| status.fingerprints = Fingerprints::Published { checked });
    }

    /// Records that the published value is not the right one any more. Returns whether it was before.
    pub(crate) fn set_outdated(&self) -> bool {
        let was_published = self.is_published();
        if was_published {
            self.change(|status| status.fingerprints = Fingerprints::Waiting);
        }
        was_published
    }

    /// Records that publishing failed. Logs it if it did not fail before, unless the service was not reached
    /// at all: then [`Self::set_not_reached`] logs it.
    pub(crate) fn set_not_published(&self, why: &MetadataError) {
        self.change(|status| {
            let since = match &status.fingerprints {
                Fingerprints::Failed { since, .. } => *since,
                _ => {
                    if is_unusable_answer(why) {
                        tracing::warn!(
                            "the fingerprints could not be published: {why}; trying again from time to time"
                        );
                    }
                    Moment::now()
                }
            };
            status.fingerprints = Fingerprints::Failed { since, why: why.to_string() };
        });
    }
}

/// Whether the service answered with an unusable answer.
fn is_unusable_answer(why: &MetadataError) -> bool {
    !matches!(why.kind(), ErrorKind::Unreachable | ErrorKind::NotAnInstance)
}

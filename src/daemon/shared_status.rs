//! What the tasks have learned, in one place: a [`Status`] that can be read at any time and watched for changes.

use crate::scripts::model::likely_key::hint;
use tokio::sync::watch;

use crate::host_keys::key::public_key::PublicKey;
use crate::host_keys::sshd::server::SshServer;
use crate::host_keys::store::key_file::public_path;
use crate::host_keys::store::served::{KeyProblem, ServedKeys};
use crate::metadata::api::instance::Instance;
use crate::metadata::error::{ErrorKind, MetadataError};
use crate::metadata::family::Family;
use crate::status::document::{HostKey, Problem, Status};
use crate::status::states::{Fingerprints, Platform, Reach};
use crate::util::time::Moment;

/// The board. Clones show the same.
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

    /// Changes the status, and wakes the watchers only if it is another than before.
    fn change(&self, change: impl FnOnce(&mut Status)) {
        self.0.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            *status != before
        });
    }

    pub(crate) fn instance(&self, instance: Instance) {
        self.change(|status| status.instance = Some(instance));
    }

    /// Whether this is a Scaleway Instance; logged when it is not, and when that changes.
    pub(crate) fn platform(&self, platform: Platform) {
        self.change(|status| {
            if status.platform != platform {
                match &platform {
                    Platform::Instance => {
                        tracing::info!("the metadata service is trusted on this machine, as configured")
                    }
                    Platform::NotAnInstance { why } => {
                        tracing::info!("{why}; the metadata service is not asked")
                    }
                }
            }
            status.platform = platform;
        });
    }

    /// The configuration files that do not count.
    pub(crate) fn configuration(&self, faults: Vec<String>) {
        self.change(|status| status.configuration = faults);
    }

    /// Whether the Instance and the list of user data could be read from the service's answers. Logged when that changes (T5).
    pub(crate) fn observed(&self, observed: &Result<(), MetadataError>) {
        let unusable = observed.as_ref().err().filter(|why| is_answer(why)).map(ToString::to_string);
        self.change(|status| {
            match (&status.unusable_answer, &unusable) {
                (None, Some(why)) => tracing::warn!("{why}; trying again from time to time"),
                (Some(_), None) if observed.is_ok() => {
                    tracing::info!("the answers of the metadata service can be used again")
                }
                _ => {}
            }
            status.unusable_answer = unusable;
        });
    }

    /// What the list of user data says: whether there are scripts, and which keys are likely mistakes. Of these, new ones are logged where no
    /// script is due; otherwise the setup runner does that.
    pub(crate) fn user_data(&self, has_scripts: bool, suspect: Option<Vec<String>>) {
        self.change(|status| {
            status.has_scripts = Some(has_scripts);
            let Some(suspect) = suspect else { return };
            for key in &suspect {
                if !has_scripts && !status.suspect_keys.contains(key) {
                    tracing::warn!("{}", hint(key));
                }
            }
            status.suspect_keys = suspect;
        });
    }

    /// The service answered. Logged when it did not before (law T5).
    pub(crate) fn reached(&self, family: Option<Family>) {
        self.change(|status| match &mut status.metadata {
            Reach::Reachable { family: known, .. } => *known = family.or(*known),
            _ => {
                let over = family.map(|family| format!(" over {family}")).unwrap_or_default();
                tracing::info!("the metadata service answers{over}");
                status.metadata = Reach::Reachable { family, since: Moment::now() };
            }
        });
    }

    /// The service did not answer. Logged once, until it does again (law T5).
    pub(crate) fn not_reached(&self, why: &str) {
        self.change(|status| {
            if !matches!(status.metadata, Reach::Unreachable { .. }) {
                tracing::warn!("{why}; trying again from time to time");
                status.metadata = Reach::Unreachable { since: Moment::now(), why: why.to_owned() };
            }
        });
    }

    /// The keys that the machine has, and what is wrong with them. A problem is logged when it is new (T5).
    pub(crate) fn host_keys(&self, keys: &ServedKeys) {
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
        let problem = |found: &KeyProblem| Problem { what: found.what.clone(), remedy: found.remedy.clone() };
        self.change(|status| {
            status.host_keys = shown.collect();
            let problems: Vec<_> = keys.problems.iter().map(problem).collect();
            for new in problems.iter().filter(|new| !status.host_key_problems.contains(new)) {
                tracing::warn!("{}; {}", new.what, new.remedy);
            }
            status.host_key_problems = problems;
        });
    }

    /// It is not known yet whether the keys are this Instance's.
    pub(crate) fn keys_not_confirmed(&self) {
        self.change(|status| status.fingerprints = Fingerprints::Waiting);
    }

    /// Whether an OpenSSH server is enabled; logged when none is, and when that changes.
    pub(crate) fn ssh_server(&self, server: SshServer) {
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

    /// Nothing is published, and nothing is to be.
    pub(crate) fn withdrawn(&self) {
        self.change(|status| status.fingerprints = Fingerprints::Waiting);
    }

    pub(crate) fn no_keys(&self) {
        self.change(|status| status.fingerprints = Fingerprints::NoKeys);
    }

    pub(crate) fn published(&self) {
        self.change(|status| status.fingerprints = Fingerprints::Published { checked: Moment::now() });
    }

    /// Publishing failed. Logged when it did not before, but for a failure to reach the service at all, which is the board's other line.
    pub(crate) fn not_published(&self, why: &MetadataError) {
        self.change(|status| {
            let since = match &status.fingerprints {
                Fingerprints::Failed { since, .. } => *since,
                _ => {
                    if is_answer(why) {
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

/// Whether the service answered, and the answer is of no use.
fn is_answer(why: &MetadataError) -> bool {
    !matches!(why.kind(), ErrorKind::Unreachable | ErrorKind::NotAnInstance)
}

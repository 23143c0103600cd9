//! What the tasks have learned, in one place: a [`Status`] that can be read at any time and watched for changes.

use tokio::sync::watch;

use crate::host_keys::PublicKeys;
use crate::metadata::{Family, Instance, MetadataError};
use crate::moment::Moment;
use crate::status::{Fingerprints, HostKey, Platform, Reach, Status};

/// The board. Clones show the same.
#[derive(Clone)]
pub(super) struct Board(watch::Sender<Status>);

impl Board {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Status::unknown()))
    }

    pub(super) fn read(&self) -> Status {
        self.0.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Status> {
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

    pub(super) fn instance(&self, instance: Instance) {
        self.change(|status| status.instance = Some(instance));
    }

    /// Whether this is a Scaleway Instance; logged when it is not, and when that changes.
    pub(super) fn platform(&self, platform: Platform) {
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
    pub(super) fn configuration(&self, faults: Vec<String>) {
        self.change(|status| status.configuration = faults);
    }

    pub(super) fn has_scripts(&self, has_scripts: bool) {
        self.change(|status| status.has_scripts = Some(has_scripts));
    }

    /// The service answered. Logged when it did not before (law T5).
    pub(super) fn reached(&self, family: Option<Family>) {
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
    pub(super) fn not_reached(&self, why: &str) {
        self.change(|status| {
            if !matches!(status.metadata, Reach::Unreachable { .. }) {
                tracing::warn!("{why}; trying again from time to time");
                status.metadata = Reach::Unreachable { since: Moment::now(), why: why.to_owned() };
            }
        });
    }

    pub(super) fn host_keys(&self, keys: &PublicKeys) {
        let name = |path: &std::path::Path| path.display().to_string();
        let mut shown: Vec<_> = keys
            .good
            .iter()
            .map(|local| HostKey {
                file: name(&local.path),
                type_name: Some(local.key.type_name().to_owned()),
                bits: Some(local.key.bits),
                fingerprint: Some(local.key.fingerprint()),
                comment: Some(local.key.comment.clone()),
                served: local.served,
                problem: None,
            })
            .collect();
        shown.extend(keys.bad.iter().map(|(path, why)| HostKey {
            file: name(path),
            type_name: None,
            bits: None,
            fingerprint: None,
            comment: None,
            served: false,
            problem: Some(why.clone()),
        }));
        self.change(|status| status.host_keys = shown);
    }

    pub(super) fn no_keys(&self) {
        self.change(|status| status.fingerprints = Fingerprints::NoKeys);
    }

    pub(super) fn published(&self) {
        self.change(|status| status.fingerprints = Fingerprints::Published { checked: Moment::now() });
    }

    /// Publishing failed. A failure to reach the service at all is the board's other line.
    pub(super) fn not_published(&self, why: &MetadataError) {
        self.change(|status| {
            let since = match &status.fingerprints {
                Fingerprints::Failed { since, .. } => *since,
                _ => Moment::now(),
            };
            status.fingerprints = Fingerprints::Failed { since, why: why.to_string() };
        });
    }
}

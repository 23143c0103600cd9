//! The state of the machine as the agent sees it: the document that the daemon serves as `/status` and that
//! `scw-agent status` prints.
//!
//! Version 1. A reader must ignore unknown fields; a field changes its meaning only with a new version.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host_keys::sshd::server::SshServer;
use crate::metadata::api::instance::Instance;
use crate::scripts::history::running::RunningScript;
use crate::scripts::history::summary::Summary;
use crate::status::states::{CHECK_DISTANCE, Fingerprints, Platform, Reachability};
use crate::system::cloud_init::CloudInit;
use crate::system::exposure::Exposure;
use crate::system::units::{UnitProblem, Units};

/// The version of the document's format.
pub(crate) const VERSION: u32 = 1;

/// The complete document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// [`VERSION`].
    pub version: u32,
    /// The agent's own version.
    pub agent: String,
    /// Whether this machine is a Scaleway Instance. On other machines the agent sends no requests and runs
    /// nothing (invariant P1).
    #[serde(default)]
    pub platform: Platform,
    /// Which Instance this is; null until the metadata service has answered.
    pub instance: Option<Instance>,
    /// Whether the metadata service is reachable.
    pub metadata: Reachability,
    /// The state of the user data key `ssh-host-fingerprints`.
    pub fingerprints: Fingerprints,
    /// Whether an OpenSSH server is enabled. If none is, fingerprints are not published (invariant H3).
    #[serde(default)]
    pub ssh_server: SshServer,
    /// The machine's host keys.
    pub host_keys: Vec<HostKey>,
    /// The problems of the host keys.
    #[serde(default)]
    pub host_key_problems: Vec<Problem>,
    /// The problems of the keys with which root may log in, as far as the agent manages them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh_key_problems: Vec<Problem>,
    /// Whether user data contained scripts when it was listed; null until then.
    #[serde(default)]
    pub has_scripts: Option<bool>,
    /// Keys in user data that are probably meant for a script but are not the key of a script: hints, not
    /// problems.
    #[serde(default)]
    pub suspect_keys: Vec<String>,
    /// Why the service's answers about the Instance or user data are unusable; null if they are usable.
    #[serde(default)]
    pub unusable_answer: Option<String>,
    /// The script that is running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<RunningScript>,
    /// The summary of this boot's scripts; null until they have run.
    pub setup: Option<Summary>,
    /// The progress of cloud-init, which runs scripts of its own where it is active. A program on this
    /// machine that reads the document checks this itself.
    #[serde(skip_deserializing)]
    pub cloud_init: CloudInit,
    /// The units with problems. `scw-agent status` gets them from systemd; the daemon leaves this empty.
    #[serde(skip_deserializing, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<UnitProblem>,
    /// Other information from systemd; the default if systemd was not asked.
    #[serde(skip)]
    pub systemd: Units,
    /// The problems of the configuration files that are ignored.
    #[serde(default)]
    pub configuration: Vec<String>,
    /// Who besides root can write user data.
    #[serde(default)]
    pub exposure: Exposure,
    /// The problems, each with a remedy; empty if there are none.
    #[serde(default)]
    pub problems: Vec<Problem>,
}

/// A problem and its remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// What a person can do.
    pub remedy: String,
}

/// One host key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostKey {
    /// The path of the public key, next to the private key.
    pub file: String,
    /// `ED25519`, `ECDSA`, `RSA` or another type, as ssh-keygen prints it; null if there is no key that sshd
    /// can load.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// The key's size in bits.
    pub bits: Option<usize>,
    /// `SHA256:…`
    pub fingerprint: Option<String>,
    /// The key's comment.
    pub comment: Option<String>,
    /// Whether sshd serves the key, as far as that is known. A key that sshd does not serve is not published.
    #[serde(default)]
    pub served: bool,
    /// The key's problem, if it has one.
    pub problem: Option<String>,
}

impl Status {
    /// The status while nothing is known yet.
    pub fn unknown() -> Self {
        Self {
            version: VERSION,
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            platform: Platform::Instance,
            instance: None,
            metadata: Reachability::Unknown,
            fingerprints: Fingerprints::Waiting,
            ssh_server: SshServer::Unknown,
            host_keys: Vec::new(),
            host_key_problems: Vec::new(),
            ssh_key_problems: Vec::new(),
            has_scripts: None,
            suspect_keys: Vec::new(),
            unusable_answer: None,
            running: None,
            setup: None,
            cloud_init: CloudInit::NotActive,
            units: Vec::new(),
            systemd: Units::default(),
            configuration: Vec::new(),
            exposure: Exposure::default(),
            problems: Vec::new(),
        }
    }

    /// What the agent or cloud-init still has to do in this boot, as text for a person; `None` if nothing is left.
    pub fn pending_work(&self) -> Option<String> {
        if self.platform != Platform::Instance {
            return None;
        }
        // Until the service's answers are usable, nothing is published and no script runs.
        let why = self.unusable_answer.iter().map(|why| format!(": {why}")).collect::<String>();
        match &self.fingerprints {
            Fingerprints::Published { .. } | Fingerprints::NotChecked { .. } | Fingerprints::NoKeys => {}
            Fingerprints::Waiting if self.ssh_server == SshServer::NotEnabled => {}
            Fingerprints::Waiting => return Some(format!("the fingerprints are not published yet{why}")),
            Fingerprints::Failed { why, .. } => {
                return Some(format!("the fingerprints could not be published: {why}"));
            }
        }
        self.pending_scripts(&why).or_else(|| self.pending_check())
    }

    /// Whether scripts are still to end, and nothing else: then the published value need not be checked yet.
    pub(crate) fn waits_for_scripts_only(&self) -> bool {
        let is_settled = match &self.fingerprints {
            Fingerprints::Published { .. } | Fingerprints::NotChecked { .. } | Fingerprints::NoKeys => true,
            Fingerprints::Waiting => self.ssh_server == SshServer::NotEnabled,
            Fingerprints::Failed { .. } => false,
        };
        is_settled && self.pending_scripts("").is_some()
    }

    /// Whether only the check of the published value is missing, and it can be made within seconds.
    pub(crate) fn waits_for_check_only(&self) -> bool {
        let is_recent = matches!(
            self.fingerprints,
            Fingerprints::NotChecked { age_ms, .. } if Duration::from_millis(age_ms) < CHECK_DISTANCE
        );
        is_recent && self.pending_scripts("").is_none()
    }

    /// The published value must be checked at the end.
    fn pending_check(&self) -> Option<String> {
        match &self.fingerprints {
            Fingerprints::NotChecked { why, .. } => {
                Some(format!("whether the fingerprints are still published is not known: {why}"))
            }
            _ => None,
        }
    }

    fn pending_scripts(&self, why: &str) -> Option<String> {
        if let Some(RunningScript { key, started, .. }) = &self.running {
            return Some(format!("the scripts have not all run yet; {key} runs since {started}"));
        }
        match (&self.setup, self.has_scripts) {
            (Some(_), _) | (None, Some(false)) => self.pending_cloud_init_work(),
            (None, Some(true)) if self.systemd.setup_path_is_disabled => self.pending_cloud_init_work(),
            (None, Some(true)) => Some("the scripts have not all run yet".to_owned()),
            (None, None) => Some(format!("user data are not known yet{why}")),
        }
    }

    /// What cloud-init has not finished yet. systemd knows whether cloud-init's last unit will still start:
    /// the unit may be masked, or the run may have been killed after a failure.
    fn pending_cloud_init_work(&self) -> Option<String> {
        if self.systemd.cloud_init_will_finish == Some(false) {
            return None;
        }
        match &self.cloud_init {
            CloudInit::Waiting => Some("cloud-init has not started yet".to_owned()),
            CloudInit::Running { stage: Some(stage) } => {
                Some(format!("cloud-init has not finished; it is at {stage}"))
            }
            CloudInit::Running { stage: None } => Some("cloud-init has not finished".to_owned()),
            CloudInit::NotActive | CloudInit::Done { .. } | CloudInit::Unknown { .. } => None,
        }
    }

    /// One line for systemd's `STATUS=`.
    pub fn summary_line(&self) -> String {
        let configuration_note =
            if self.configuration.is_empty() { "" } else { "; the configuration has errors" };
        if let Platform::NotAnInstance { why } = &self.platform {
            return format!("{why}; nothing to do{configuration_note}");
        }
        let reach = match &self.metadata {
            Reachability::Unknown => "asking the metadata service".to_owned(),
            Reachability::Reachable { family: Some(family), .. } => format!("metadata over {family}"),
            Reachability::Reachable { family: None, .. } => "metadata reached".to_owned(),
            Reachability::Unreachable { since, .. } => format!("metadata service unreachable since {since}"),
        };
        let fingerprints = match &self.fingerprints {
            Fingerprints::Waiting if self.ssh_server == SshServer::NotEnabled => {
                "no OpenSSH server is enabled"
            }
            Fingerprints::Waiting => "fingerprints not yet published",
            Fingerprints::NoKeys => "no host keys to publish",
            Fingerprints::Published { .. } => "fingerprints published",
            Fingerprints::NotChecked { .. } => "fingerprints not checked now, published",
            Fingerprints::Failed { .. } => "fingerprints could not be published",
        };
        let for_instance =
            self.instance.as_ref().map(|instance| format!(" for {}", instance.id)).unwrap_or_default();
        // systemd shows this line until the next one, so it must not say more than was checked.
        let last_checked = match &self.fingerprints {
            Fingerprints::Published { checked } => format!(", last checked {checked}"),
            Fingerprints::NotChecked { checked, .. } => format!(" at {checked}"),
            _ => String::new(),
        };
        format!("{reach}; {fingerprints}{for_instance}{last_checked}{configuration_note}")
    }
}

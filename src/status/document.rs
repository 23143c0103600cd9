//! The state of the machine as the agent sees it: the one document that the daemon serves as `/status` and `scw-agent status` shows.
//!
//! Version 1. A reader must pass over fields that it does not know; a field changes its meaning only with a new version.

use serde::{Deserialize, Serialize};

use crate::host_keys::sshd::server::SshServer;
use crate::metadata::api::instance::Instance;
use crate::scripts::history::running::RunningScript;
use crate::scripts::history::summary::Summary;
use crate::status::states::{Fingerprints, Platform, Reach};
use crate::system::cloud_init::CloudInit;
use crate::system::exposure::Exposure;
use crate::system::units::{UnitProblem, Units};

/// The version of the document's shape.
pub(crate) const VERSION: u32 = 1;

/// The whole document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// [`VERSION`].
    pub version: u32,
    /// The agent's own version.
    pub agent: String,
    /// Whether this machine is a Scaleway Instance. Elsewhere the agent asks and runs nothing (invariant P1).
    #[serde(default)]
    pub platform: Platform,
    /// Which Instance this is; null until the metadata service has said it.
    pub instance: Option<Instance>,
    /// The way to the metadata service.
    pub metadata: Reach,
    /// The user data key `ssh-host-fingerprints`.
    pub fingerprints: Fingerprints,
    /// Whether an OpenSSH server is enabled. Where none is, fingerprints are not published (invariant H3).
    #[serde(default)]
    pub ssh_server: SshServer,
    /// The host keys that the machine has.
    pub host_keys: Vec<HostKey>,
    /// What is wrong with them.
    #[serde(default)]
    pub host_key_problems: Vec<Problem>,
    /// Whether user data held scripts when it was listed; null until then.
    #[serde(default)]
    pub has_scripts: Option<bool>,
    /// Keys in user data that are likely meant for a script, and are not a script's: hints, no problems.
    #[serde(default)]
    pub suspect_keys: Vec<String>,
    /// Why the Instance or user data cannot be read from what the service answers; null where they can.
    #[serde(default)]
    pub unusable_answer: Option<String>,
    /// The script that runs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<RunningScript>,
    /// This boot's scripts; null until their work is done.
    pub setup: Option<Summary>,
    /// How far cloud-init is, where it is active: it runs scripts of its own. Who reads the document on this machine looks itself.
    #[serde(skip_deserializing)]
    pub cloud_init: CloudInit,
    /// The units that are not as they should be. `scw-agent status` asks systemd for them; the daemon leaves this empty.
    #[serde(skip_deserializing, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<UnitProblem>,
    /// What else systemd says; nothing where it was not asked.
    #[serde(skip)]
    pub systemd: Units,
    /// The configuration files that do not count, each with what is wrong in it.
    #[serde(default)]
    pub configuration: Vec<String>,
    /// Who besides root can write user data.
    #[serde(default)]
    pub exposure: Exposure,
    /// What is wrong, and what to do about it; empty when all is well.
    #[serde(default)]
    pub problems: Vec<Problem>,
}

/// Something that is not as it should be.
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
    /// The public key's file, beside the private one.
    pub file: String,
    /// `ED25519`, `ECDSA`, `RSA` or another one, as ssh-keygen names it; null where there is no key that sshd can load.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// Its size.
    pub bits: Option<usize>,
    /// `SHA256:…`
    pub fingerprint: Option<String>,
    /// Its comment.
    pub comment: Option<String>,
    /// Whether sshd serves it, as far as that is known: what it does not serve is not published.
    #[serde(default)]
    pub served: bool,
    /// What is wrong with the key, where something is.
    pub problem: Option<String>,
}

impl Status {
    /// Nothing is known yet.
    pub fn unknown() -> Self {
        Self {
            version: VERSION,
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            platform: Platform::Instance,
            instance: None,
            metadata: Reach::Unknown,
            fingerprints: Fingerprints::Waiting,
            ssh_server: SshServer::Unknown,
            host_keys: Vec::new(),
            host_key_problems: Vec::new(),
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

    /// What of this boot's work is not done yet, for a person; `None` when all is.
    pub fn left_to_do(&self) -> Option<String> {
        if self.platform != Platform::Instance {
            return None;
        }
        // Nothing is published and no script runs until it can be used.
        let why = self.unusable_answer.iter().map(|why| format!(": {why}")).collect::<String>();
        match &self.fingerprints {
            Fingerprints::Published { .. } | Fingerprints::NoKeys => {}
            Fingerprints::Waiting if self.ssh_server == SshServer::NotEnabled => {}
            Fingerprints::Waiting => return Some(format!("the fingerprints are not published yet{why}")),
            Fingerprints::Failed { why, .. } => {
                return Some(format!("the fingerprints could not be published: {why}"));
            }
        }
        if let Some(RunningScript { key, started, .. }) = &self.running {
            return Some(format!("the scripts have not all run yet; {key} runs since {started}"));
        }
        match (&self.setup, self.has_scripts) {
            (Some(_), _) | (None, Some(false)) => self.left_to_cloud_init(),
            (None, Some(true)) if self.systemd.starts_no_script => self.left_to_cloud_init(),
            (None, Some(true)) => Some("the scripts have not all run yet".to_owned()),
            (None, None) => Some(format!("user data are not known yet{why}")),
        }
    }

    /// What cloud-init has not done yet. systemd knows whether its last unit will start: it may be masked, and after a failure it may be killed.
    fn left_to_cloud_init(&self) -> Option<String> {
        if self.systemd.cloud_init_goes_on == Some(false) {
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
    pub fn line(&self) -> String {
        let faults = if self.configuration.is_empty() { "" } else { "; the configuration has faults" };
        if let Platform::NotAnInstance { why } = &self.platform {
            return format!("{why}; nothing to do{faults}");
        }
        let reach = match &self.metadata {
            Reach::Unknown => "asking the metadata service".to_owned(),
            Reach::Reachable { family: Some(family), .. } => format!("metadata over {family}"),
            Reach::Reachable { family: None, .. } => "metadata reached".to_owned(),
            Reach::Unreachable { since, .. } => format!("metadata service unreachable since {since}"),
        };
        let fingerprints = match &self.fingerprints {
            Fingerprints::Waiting if self.ssh_server == SshServer::NotEnabled => {
                "no OpenSSH server is enabled"
            }
            Fingerprints::Waiting => "fingerprints not yet published",
            Fingerprints::NoKeys => "no host keys to publish",
            Fingerprints::Published { .. } => "fingerprints published",
            Fingerprints::Failed { .. } => "fingerprints could not be published",
        };
        let of = self.instance.as_ref().map(|instance| format!(" for {}", instance.id)).unwrap_or_default();
        format!("{reach}; {fingerprints}{of}{faults}")
    }
}

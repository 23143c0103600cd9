//! The state of the machine as the agent sees it: the one document that the daemon serves as `/status` and `scw-agent status` shows.
//!
//! Version 1. A reader must pass over fields that it does not know; a field changes its meaning only with a new version.

use serde::{Deserialize, Serialize};

use crate::exposure::Exposure;
use crate::metadata::{Family, Instance};
use crate::moment::Moment;
use crate::platform::{NotAnInstance, PlatformProof};
use crate::printable;
use crate::setup::Summary;

/// The version of the document's shape.
pub const VERSION: u32 = 1;

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
    /// The host keys that the machine has.
    pub host_keys: Vec<HostKey>,
    /// Whether user data held scripts when it was listed; null until then.
    #[serde(default)]
    pub has_scripts: Option<bool>,
    /// This boot's scripts; null until their work is done.
    pub setup: Option<Summary>,
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

/// Whether the metadata service is trusted here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Platform {
    /// This is a Scaleway Instance, or the configuration says that it counts as one.
    #[default]
    Instance,
    /// It is not. This is a normal state.
    NotAnInstance {
        /// What was found instead.
        why: String,
    },
}

impl From<Result<PlatformProof, NotAnInstance>> for Platform {
    fn from(checked: Result<PlatformProof, NotAnInstance>) -> Self {
        match checked {
            Ok(_) => Self::Instance,
            Err(why) => Self::NotAnInstance { why: why.to_string() },
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// What a person can do.
    pub remedy: String,
}

/// Whether the metadata service answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Reach {
    /// Nothing was tried yet.
    Unknown,
    /// It answers.
    Reachable {
        /// Over this family.
        family: Option<Family>,
        /// Since then.
        since: Moment,
    },
    /// It does not.
    Unreachable {
        /// Since then.
        since: Moment,
        /// In the words of the first failure.
        why: String,
    },
}

/// Whether the fingerprints are published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Fingerprints {
    /// Not yet.
    Waiting,
    /// The machine has no host key to tell.
    NoKeys,
    /// The service holds them, and they are those of the keys at hand.
    Published {
        /// When this was last seen to be so.
        checked: Moment,
    },
    /// They could not be published.
    Failed {
        /// Since then.
        since: Moment,
        /// The latest failure.
        why: String,
    },
}

/// One host key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostKey {
    /// The public key's file.
    pub file: String,
    /// `ED25519`, `ECDSA`, `RSA`; null where the file is no public key.
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
    /// What is wrong with the file, where something is.
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
            host_keys: Vec::new(),
            has_scripts: None,
            setup: None,
            configuration: Vec::new(),
            exposure: Exposure::default(),
            problems: Vec::new(),
        }
    }

    /// The same with its problems named, which follow from all the rest.
    #[must_use]
    pub fn with_problems(mut self) -> Self {
        self.problems = problems(&self);
        self
    }

    /// What of this boot's work is not done yet, for a person; `None` when all is.
    pub fn left_to_do(&self) -> Option<String> {
        if self.platform != Platform::Instance {
            return None;
        }
        match &self.fingerprints {
            Fingerprints::Published { .. } | Fingerprints::NoKeys => {}
            Fingerprints::Waiting => return Some("the fingerprints are not published yet".to_owned()),
            Fingerprints::Failed { why, .. } => {
                return Some(format!("the fingerprints could not be published: {why}"));
            }
        }
        match (&self.setup, self.has_scripts) {
            (Some(_), _) | (None, Some(false)) => None,
            (None, Some(true)) => Some("the scripts have not all run yet".to_owned()),
            (None, None) => Some("user data are not known yet".to_owned()),
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
            Fingerprints::Waiting => "fingerprints not yet published",
            Fingerprints::NoKeys => "no host keys to publish",
            Fingerprints::Published { .. } => "fingerprints published",
            Fingerprints::Failed { .. } => "fingerprints could not be published",
        };
        let of = self.instance.as_ref().map(|instance| format!(" for {}", instance.id)).unwrap_or_default();
        format!("{reach}; {fingerprints}{of}{faults}")
    }
}

fn problems(status: &Status) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut add = |what: String, remedy: &str| found.push(Problem { what, remedy: remedy.to_owned() });
    if let Reach::Unreachable { why, .. } = &status.metadata {
        add(
            why.clone(),
            "an Instance without a public IP or a route to the service cannot reach it; see `ip route` and the unit's journal",
        );
    }
    if let Fingerprints::NoKeys = status.fingerprints {
        add(
            "there are no SSH host keys".to_owned(),
            "run `scw-agent host-keys ensure` as root, and see the journal of scw-agent-hostkeys.service",
        );
    }
    if let (Fingerprints::Failed { why, .. }, Reach::Reachable { .. }) =
        (&status.fingerprints, &status.metadata)
    {
        add(
            format!("the fingerprints could not be published: {why}"),
            "the agent tries again by itself; see its journal",
        );
    }
    for key in &status.host_keys {
        if let Some(why) = &key.problem {
            add(
                format!("{} is no public key: {why}", key.file),
                "run `scw-agent host-keys ensure` as root, which derives it again",
            );
        }
    }
    for fault in &status.configuration {
        add(
            fault.clone(),
            "mend it until `scw-agent config check` is content, then `systemctl reload scw-agent`",
        );
    }
    // Outside of a Scaleway Instance nobody is asked, so nobody is exposed.
    let exposed = if status.platform == Platform::Instance { status.exposure.problem() } else { None };
    if let Some((what, remedy)) = exposed {
        add(what, &remedy);
    }
    for script in status.setup.iter().flat_map(|setup| &setup.scripts) {
        if !script.outcome.is_success() {
            add(
                format!("{}: {}", printable::line(&script.key), script.outcome),
                "see its output: `scw-agent setup show` and the script's key, as root",
            );
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_its_version_and_comes_back_from_json() {
        let status = Status::unknown().with_problems();
        let json = serde_json::to_value(&status).expect("json");
        assert_eq!(json["version"], 1);
        assert_eq!(json["metadata"]["state"], "unknown");
        assert_eq!(json["fingerprints"]["state"], "waiting");
        assert_eq!(serde_json::from_value::<Status>(json).expect("the same shape"), status);
    }

    #[test]
    fn a_boots_work_is_done_when_keys_are_published_and_scripts_have_run_or_there_are_none() {
        let published = Fingerprints::Published { checked: Moment::now() };
        let failed = Fingerprints::Failed { since: Moment::now(), why: "no route".to_owned() };
        let ran = Some(Summary { ended: Moment::now(), scripts: vec![], passed_over: vec![] });
        for (fingerprints, has_scripts, setup, left) in [
            (Fingerprints::Waiting, None, None, Some("not published yet")),
            (Fingerprints::Waiting, None, ran.clone(), Some("not published yet")),
            (failed, Some(false), None, Some("no route")),
            (published.clone(), None, None, Some("user data")),
            (published.clone(), Some(true), None, Some("scripts")),
            (published.clone(), Some(true), ran, None),
            (published, Some(false), None, None),
            (Fingerprints::NoKeys, Some(false), None, None),
        ] {
            let said = Status { fingerprints, has_scripts, setup, ..Status::unknown() }.left_to_do();
            assert_eq!(said.is_some(), left.is_some(), "{said:?}");
            assert!(said.unwrap_or_default().contains(left.unwrap_or_default()));
        }
    }

    #[test]
    fn p1_elsewhere_nothing_is_left_to_do_and_nothing_is_wrong() {
        let platform = Platform::NotAnInstance { why: "not a Scaleway Instance (…)".to_owned() };
        let status = Status { platform, ..Status::unknown() }.with_problems();
        assert_eq!(status.left_to_do(), None);
        assert_eq!(status.problems, []);
        assert_eq!(status.line(), "not a Scaleway Instance (…); nothing to do");
        let json = serde_json::to_value(&status).expect("json");
        assert_eq!(json["platform"]["state"], "not-an-instance");
    }

    #[test]
    fn nothing_wrong_is_no_problem_and_each_wrong_is_one() {
        let status = Status::unknown();
        assert_eq!(status.clone().with_problems().problems, []);
        let unreachable = Reach::Unreachable { since: Moment::now(), why: "no route".to_owned() };
        let failed = Fingerprints::Failed { since: Moment::now(), why: "no route".to_owned() };
        let wrong = Status { metadata: unreachable, fingerprints: failed, ..status };
        let problems = wrong.with_problems().problems;
        assert_eq!(problems.len(), 1, "one cause is told once: {problems:?}");
    }
}

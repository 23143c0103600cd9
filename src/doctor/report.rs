//! What was found, as a document. Version 1; a reader must pass over fields that it does not know.

use serde::{Deserialize, Serialize};

use crate::doctor::diagnosis::Diagnosis;
use crate::metadata::error::ErrorKind;
use crate::metadata::family::Family;
use crate::status::document::Problem;
use crate::status::states::Platform;
use crate::system::exposure::Exposure;
use crate::system::platform::NotAnInstance;

/// The version of the document's shape.
const VERSION: u32 = 1;

/// The whole document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// 1.
    pub version: u32,
    /// Whether this is a Scaleway Instance. Elsewhere nothing was asked, and no family is listed.
    #[serde(default)]
    pub platform: Platform,
    /// Each family by itself.
    pub families: Vec<FamilyReport>,
    /// The agent's daemon, which the steps did not use.
    pub daemon: Daemon,
    /// All in one sentence.
    pub verdict: String,
    /// Who besides root can write user data; empty where nobody can, as far as the kernel's settings tell.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// What else the daemon and systemd report: what `scw-agent status` shows as a problem, and is not said here otherwise.
    #[serde(default)]
    pub problems: Vec<Problem>,
}

/// Something that is not about the way to the service, and that a person should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which.
    pub finding: FindingName,
    /// Whether it is wrong for certain, or may be.
    pub is_problem: bool,
    /// What was found.
    pub what: String,
    /// What a person can do.
    pub remedy: String,
}

/// The findings. The name in JSON is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingName {
    /// Every user may use a source port below 1024.
    UnprivilegedPorts,
    /// Packets of containers and the like are forwarded.
    Forwarding,
}

/// One family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FamilyReport {
    /// Which.
    pub family: Family,
    /// The service's address.
    pub address: String,
    /// The steps that were tried: the first one that fails is the last, but for the requests, which are all tried.
    pub steps: Vec<StepReport>,
}

/// The steps, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepName {
    /// Has the kernel a route and a source address? No packet is sent.
    Route,
    /// Can a source port below 1024 be bound?
    SourcePort,
    /// A TCP connection.
    Connect,
    /// `GET /`
    Root,
    /// `GET /conf?format=json`
    Conf,
    /// `GET /user_data?format=json`
    UserData,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Which.
    pub step: StepName,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// What came back, or the error's text.
    pub result: String,
    /// What is wrong, where something is.
    pub trouble: Option<Diagnosis>,
    /// Its likely cause, in words.
    pub cause: Option<String>,
    /// What to do about it, in words.
    pub remedy: Option<String>,
}

/// The daemon's state, as far as its socket tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Daemon {
    /// Its status line.
    Answers {
        /// As systemd shows it.
        status: String,
        /// Why it does not reach the metadata service; null where it does, or has not tried yet.
        #[serde(default)]
        unreachable: Option<String>,
    },
    /// There is no socket, or nobody behind it.
    NotRunning,
    /// It is there and does not answer us.
    Failed {
        /// In its words.
        why: String,
    },
}

impl Daemon {
    /// Why the daemon does not reach the metadata service, where it says so.
    pub fn unreachable(&self) -> Option<&str> {
        match self {
            Self::Answers { unreachable, .. } => unreachable.as_deref(),
            Self::NotRunning | Self::Failed { .. } => None,
        }
    }
}

impl FamilyReport {
    /// The first step that failed.
    pub fn failed(&self) -> Option<&StepReport> {
        self.steps.iter().find(|step| step.trouble.is_some())
    }
}

impl Report {
    /// Puts the parts together, and draws the conclusion.
    pub(crate) fn new(families: Vec<FamilyReport>, daemon: Daemon, exposure: &Exposure) -> Self {
        let verdict = verdict(&families, &daemon);
        let finding = |finding, is_problem, words: Option<(String, String)>| {
            words.map(|(what, remedy)| Finding { finding, is_problem, what, remedy })
        };
        let findings = [
            finding(FindingName::UnprivilegedPorts, true, exposure.problem()),
            finding(FindingName::Forwarding, false, exposure.note()),
        ];
        Self {
            version: VERSION,
            platform: Platform::Instance,
            families,
            daemon,
            verdict,
            findings: findings.into_iter().flatten().collect(),
            problems: Vec::new(),
        }
    }

    /// Nothing was asked (invariant P1).
    pub(crate) fn not_an_instance(why: &NotAnInstance, daemon: Daemon) -> Self {
        let verdict = "the metadata service was not asked: this is not a Scaleway Instance".to_owned();
        Self {
            version: VERSION,
            platform: Platform::from(Err(why.clone())),
            families: vec![],
            daemon,
            verdict,
            findings: vec![],
            problems: vec![],
        }
    }

    /// Adds the problems of a status, but for those that the report has already.
    pub(crate) fn add_problems(&mut self, problems: Vec<Problem>) {
        let is_told = |problem: &Problem| {
            self.findings.iter().any(|finding| finding.what == problem.what)
                || self.daemon.unreachable() == Some(&problem.what)
        };
        self.problems = problems.into_iter().filter(|problem| !is_told(problem)).collect();
    }

    /// Whether something is wrong beside the way to the service. Whether the daemon should run, systemd knows: see `problems`.
    pub fn has_problem(&self) -> bool {
        let is_mute = matches!(self.daemon, Daemon::Failed { .. });
        is_mute || !self.problems.is_empty() || self.findings.iter().any(|finding| finding.is_problem)
    }

    /// What kind of failure it is, when no family works or the daemon does not reach the service.
    pub fn failure(&self) -> Option<ErrorKind> {
        let daemon = self.daemon.unreachable().map(|_| ErrorKind::Unreachable);
        trouble_of_all(&self.families).map(Diagnosis::kind).or(daemon)
    }
}

/// The trouble when no family works: that of the family that got furthest.
fn trouble_of_all(families: &[FamilyReport]) -> Option<Diagnosis> {
    let failed: Option<Vec<_>> =
        families.iter().map(|family| Some((family.steps.len(), family.failed()?))).collect();
    let (_, furthest) = failed?.into_iter().max_by_key(|(steps, _)| *steps)?;
    furthest.trouble
}

fn verdict(families: &[FamilyReport], daemon: &Daemon) -> String {
    if let Some(trouble) = trouble_of_all(families) {
        return format!("the metadata service cannot be used over either family: {}", trouble.cause());
    }
    let (bad, good): (Vec<_>, Vec<_>) = families.iter().partition(|family| family.failed().is_some());
    let names = |families: &[&FamilyReport]| {
        families.iter().map(|family| family.family.to_string()).collect::<Vec<_>>().join(" and ")
    };
    let mut verdict = format!("the metadata service answers over {}", names(&good));
    if !bad.is_empty() {
        verdict += &format!("; {} does not work, and one is enough", names(&bad));
    }
    if daemon.unreachable().is_some() {
        verdict += "; the daemon does not reach it";
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(family: Family, steps: usize, trouble: Option<Diagnosis>) -> FamilyReport {
        let step = |at| StepReport {
            step: StepName::Route,
            ms: 0.1,
            result: String::new(),
            trouble: trouble.filter(|_| at + 1 == steps),
            cause: None,
            remedy: None,
        };
        FamilyReport { family, address: String::new(), steps: (0..steps).map(step).collect() }
    }

    #[test]
    fn one_family_is_enough_and_otherwise_the_one_that_got_furthest_tells_the_failure() {
        use Family::{Ipv4, Ipv6};
        for (ipv4, ipv6, failure, said) in [
            (family(Ipv4, 6, None), family(Ipv6, 6, None), None, "answers over IPv4 and IPv6"),
            (family(Ipv4, 6, None), family(Ipv6, 1, Some(Diagnosis::NoRoute)), None, "one is enough"),
            (
                family(Ipv4, 6, Some(Diagnosis::SourcePortChanged)),
                family(Ipv6, 1, Some(Diagnosis::NoRoute)),
                Some(ErrorKind::NotPermitted),
                "either family: the request arrived from a port of 1024 or more",
            ),
        ] {
            let report = Report::new(vec![ipv4, ipv6], Daemon::NotRunning, &Exposure::default());
            assert_eq!(report.failure(), failure);
            assert!(report.verdict.contains(said), "{}", report.verdict);
        }
    }

    #[test]
    fn doctor_reports_a_daemon_that_is_locked_out() {
        let families = || vec![family(Family::Ipv4, 6, None), family(Family::Ipv6, 6, None)];
        let answers = |unreachable: Option<&str>| Daemon::Answers {
            status: String::new(),
            unreachable: unreachable.map(str::to_owned),
        };
        assert_eq!(Report::new(families(), answers(None), &Exposure::default()).failure(), None);
        let report = Report::new(families(), answers(Some("prohibited")), &Exposure::default());
        assert_eq!(report.failure(), Some(ErrorKind::Unreachable));
        assert!(report.verdict.contains("the daemon does not reach it"), "{}", report.verdict);
        let old: Daemon =
            serde_json::from_str(r#"{"state":"answers","status":"x"}"#).expect("an older document");
        assert_eq!(old.unreachable(), None);
    }
}

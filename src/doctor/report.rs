//! The results, as a document. Version 1; a reader must ignore unknown fields.

use serde::{Deserialize, Serialize};

use crate::doctor::diagnosis::Diagnosis;
use crate::metadata::error::ErrorKind;
use crate::metadata::family::Family;
use crate::status::document::Problem;
use crate::status::states::Platform;
use crate::system::exposure::Exposure;
use crate::system::platform::NotAnInstance;

/// The version of the document's format.
const VERSION: u32 = 1;

/// The complete document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The document's version, 1.
    pub version: u32,
    /// Whether this is a Scaleway Instance. On other machines nothing was tested, and no family is listed.
    #[serde(default)]
    pub platform: Platform,
    /// The results for each address family.
    pub families: Vec<FamilyReport>,
    /// The agent's daemon, which the steps did not use.
    pub daemon: Daemon,
    /// The result in one sentence.
    pub verdict: String,
    /// Who besides root can write user data; empty if nobody can, according to the kernel's settings.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Other problems that the daemon and systemd report: those that `scw-agent status` prints and that this
    /// report does not contain elsewhere.
    #[serde(default)]
    pub problems: Vec<Problem>,
}

/// A finding about something other than the connection to the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which.
    pub finding: FindingName,
    /// Whether it is certainly a problem; otherwise it may be one.
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
    /// Packets of containers and similar guests are forwarded.
    Forwarding,
}

/// The results for one address family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FamilyReport {
    /// Which.
    pub family: Family,
    /// The service's address.
    pub address: String,
    /// The steps that were tried. The first failed step is the last one, except for the requests, which are
    /// all tried.
    pub steps: Vec<StepReport>,
}

/// The steps, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepName {
    /// Checks whether the kernel has a route and a source address. No packet is sent.
    Route,
    /// Checks whether a source port below 1024 can be bound.
    SourcePort,
    /// Opens a TCP connection.
    Connect,
    /// `GET /`
    Root,
    /// `GET /conf?format=json`
    Conf,
    /// `GET /user_data?format=json`
    UserData,
}

/// The result of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Which.
    pub step: StepName,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// The answer, or the error's text.
    pub result: String,
    /// The diagnosis, if the step failed.
    #[serde(rename = "trouble")]
    pub diagnosis: Option<Diagnosis>,
    /// Its likely cause, as text.
    pub cause: Option<String>,
    /// What to do about it, as text.
    pub remedy: Option<String>,
}

/// The daemon's state, as far as its socket shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Daemon {
    /// It answered with its status.
    Answers {
        /// The status line, as systemd shows it.
        status: String,
        /// Why it does not reach the metadata service; null if it does, or has not tried yet.
        #[serde(default)]
        unreachable: Option<String>,
    },
    /// There is no socket, or no program listens on it.
    NotRunning,
    /// It is running and did not answer.
    Failed {
        /// The error's text.
        why: String,
    },
}

impl Daemon {
    /// Why the daemon does not reach the metadata service, if the daemon reports that.
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
        self.steps.iter().find(|step| step.diagnosis.is_some())
    }
}

impl Report {
    /// Builds the report and its verdict.
    pub(crate) fn new(families: Vec<FamilyReport>, daemon: Daemon, exposure: &Exposure) -> Self {
        let verdict = verdict(&families, &daemon);
        let finding = |finding, is_problem, texts: Option<(String, String)>| {
            texts.map(|(what, remedy)| Finding { finding, is_problem, what, remedy })
        };
        let findings = [
            finding(FindingName::UnprivilegedPorts, true, exposure.problem()),
            finding(FindingName::Forwarding, false, exposure.possible_problem()),
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

    /// A report without tests, for a machine that is no Instance (invariant P1).
    pub(crate) fn not_an_instance(why: &NotAnInstance, daemon: Daemon) -> Self {
        let verdict = "the metadata service was not queried: this is not a Scaleway Instance".to_owned();
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

    /// Adds the problems of a status, except those that the report already contains.
    pub(crate) fn add_problems(&mut self, problems: Vec<Problem>) {
        let is_reported = |problem: &Problem| {
            self.findings.iter().any(|finding| finding.what == problem.what)
                || self.daemon.unreachable() == Some(&problem.what)
        };
        self.problems = problems.into_iter().filter(|problem| !is_reported(problem)).collect();
    }

    /// Whether there is a problem other than the connection to the service. systemd knows whether the
    /// daemon should run: see `problems`.
    pub fn has_problem(&self) -> bool {
        let is_unresponsive = matches!(self.daemon, Daemon::Failed { .. });
        is_unresponsive || !self.problems.is_empty() || self.findings.iter().any(|finding| finding.is_problem)
    }

    /// The kind of failure if no family works or the daemon does not reach the service.
    pub fn failure(&self) -> Option<ErrorKind> {
        let daemon = self.daemon.unreachable().map(|_| ErrorKind::Unreachable);
        diagnosis_of_all(&self.families).map(Diagnosis::kind).or(daemon)
    }
}

/// The diagnosis if no family works: that of the family that completed most steps.
fn diagnosis_of_all(families: &[FamilyReport]) -> Option<Diagnosis> {
    let failed: Option<Vec<_>> =
        families.iter().map(|family| Some((family.steps.len(), family.failed()?))).collect();
    let (_, furthest) = failed?.into_iter().max_by_key(|(steps, _)| *steps)?;
    furthest.diagnosis
}

fn verdict(families: &[FamilyReport], daemon: &Daemon) -> String {
    if let Some(diagnosis) = diagnosis_of_all(families) {
        return format!("the metadata service cannot be used over either family: {}", diagnosis.cause());
    }
    let (failed, working): (Vec<_>, Vec<_>) = families.iter().partition(|family| family.failed().is_some());
    let names = |families: &[&FamilyReport]| {
        families.iter().map(|family| family.family.to_string()).collect::<Vec<_>>().join(" and ")
    };
    let mut verdict = format!("the metadata service answers over {}", names(&working));
    if !failed.is_empty() {
        verdict += &format!("; {} does not work, but one family is enough", names(&failed));
    }
    if daemon.unreachable().is_some() {
        verdict += "; the daemon cannot reach it";
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(family: Family, steps: usize, diagnosis: Option<Diagnosis>) -> FamilyReport {
        let step = |at| StepReport {
            step: StepName::Route,
            ms: 0.1,
            result: String::new(),
            diagnosis: diagnosis.filter(|_| at + 1 == steps),
            cause: None,
            remedy: None,
        };
        FamilyReport { family, address: String::new(), steps: (0..steps).map(step).collect() }
    }

    #[test]
    fn one_working_family_is_enough() {
        use Family::{Ipv4, Ipv6};
        for (ipv4, ipv6, failure, expected) in [
            (family(Ipv4, 6, None), family(Ipv6, 6, None), None, "answers over IPv4 and IPv6"),
            (family(Ipv4, 6, None), family(Ipv6, 1, Some(Diagnosis::NoRoute)), None, "one family is enough"),
            (
                family(Ipv4, 6, Some(Diagnosis::SourcePortChanged)),
                family(Ipv6, 1, Some(Diagnosis::NoRoute)),
                Some(ErrorKind::NotPermitted),
                "either family: the request arrived from a port of 1024 or more",
            ),
        ] {
            let report = Report::new(vec![ipv4, ipv6], Daemon::NotRunning, &Exposure::default());
            assert_eq!(report.failure(), failure);
            assert!(report.verdict.contains(expected), "{}", report.verdict);
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
        assert!(report.verdict.contains("the daemon cannot reach it"), "{}", report.verdict);
        let old: Daemon =
            serde_json::from_str(r#"{"state":"answers","status":"x"}"#).expect("an older document");
        assert_eq!(old.unreachable(), None);
    }
}

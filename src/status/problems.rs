//! Derives the problems of the machine and their remedies from the other fields of the document. Pure.

use std::io;

use crate::host_keys::sshd::server::SshServer;
use crate::scripts::history::record::Outcome;
use crate::status::document::{Problem, Status};
use crate::status::states::{Fingerprints, Platform, Reachability};
use crate::system::cloud_init::CloudInit;
use crate::system::units::{UnitProblem, Units};
use crate::util::printable;

const SEE_CLOUD_INIT: &str = "see `cloud-init status --long` and /var/log/cloud-init-output.log";

impl Status {
    /// Sets the problems, which follow from the other fields.
    #[must_use]
    pub fn with_problems(mut self) -> Self {
        self.problems = problems(&self);
        self
    }

    /// Adds systemd's answer about the units, and sets the problems again.
    #[must_use]
    pub fn with_units(mut self, units: io::Result<Units>) -> Self {
        let unknown = match units {
            Ok(mut units) => {
                self.units = std::mem::take(&mut units.problems);
                // On other machines, the agent does not report on cloud-init (invariant P1).
                self.units.retain(|unit| self.platform == Platform::Instance || !unit.is_cloud_init_unit());
                self.systemd = units;
                None
            }
            Err(why) => Some(Problem {
                what: format!("cannot get the state of the units from systemd: {why}"),
                remedy: "see `systemctl --failed`".to_owned(),
            }),
        };
        self = self.with_problems();
        self.problems.extend(unknown);
        self
    }
}

/// All problems; each cause is reported once.
fn problems(status: &Status) -> Vec<Problem> {
    let mut problems = Vec::new();
    add_publication_problems(&mut problems, status);
    add_configuration_problems(&mut problems, status);
    add_script_problems(&mut problems, status);
    add_cloud_init_problems(&mut problems, status);
    add_unit_problems(&mut problems, status);
    problems
}

fn add(problems: &mut Vec<Problem>, what: String, remedy: &str) {
    problems.push(Problem { what, remedy: remedy.to_owned() });
}

/// Problems of the metadata service, the host keys and their published value.
fn add_publication_problems(problems: &mut Vec<Problem>, status: &Status) {
    if let Reachability::Unreachable { why, .. } = &status.metadata {
        add(
            problems,
            why.clone(),
            "an Instance without a public IP or a route to the service cannot reach it; see `ip route` and the unit's journal",
        );
    }
    if status.fingerprints == Fingerprints::NoKeys && status.ssh_server != SshServer::NotEnabled {
        add(
            problems,
            "there are no SSH host keys".to_owned(),
            "run `scw-agent host-keys ensure` as root, and see the journal of scw-agent-hostkeys.service",
        );
    }
    if let (Fingerprints::Failed { why, .. }, Reachability::Reachable { .. }) =
        (&status.fingerprints, &status.metadata)
    {
        add(
            problems,
            format!("the fingerprints could not be published: {why}"),
            "the agent tries again by itself; see its journal",
        );
    }
    if let Some(why) = &status.unusable_answer {
        add(
            problems,
            why.clone(),
            "the agent tries again by itself, and runs no script until then; see `scw-agent doctor`",
        );
    }
    for problem in status.host_key_problems.iter().chain(&status.ssh_key_problems) {
        add(problems, problem.what.clone(), &problem.remedy);
    }
}

/// Problems of the configuration files and of the kernel's settings.
fn add_configuration_problems(problems: &mut Vec<Problem>, status: &Status) {
    for what in &status.configuration {
        add(
            problems,
            what.clone(),
            "fix it until `scw-agent config check` passes, then run `systemctl reload scw-agent`",
        );
    }
    // On other machines there is no metadata service, so no user data is exposed.
    let exposed = if status.platform == Platform::Instance { status.exposure.problem() } else { None };
    if let Some((what, remedy)) = exposed {
        add(problems, what, &remedy);
    }
}

fn add_script_problems(problems: &mut Vec<Problem>, status: &Status) {
    for script in status.setup.iter().flat_map(|setup| &setup.scripts) {
        if !script.outcome.is_success() {
            let remedy = match script.outcome {
                Outcome::NotRun(_) => {
                    "fix this; `scw-agent setup validate FILE` checks a value before it is set"
                }
                _ => "see its output: run `scw-agent setup show KEY` as root",
            };
            add(problems, format!("{}: {}", printable::line(&script.key), script.outcome), remedy);
        }
    }
}

/// Problems of cloud-init, which the agent reports only on an Instance (invariant P1).
fn add_cloud_init_problems(problems: &mut Vec<Problem>, status: &Status) {
    if status.platform != Platform::Instance {
        return;
    }
    match &status.cloud_init {
        CloudInit::Done { failed } if !failed.is_empty() => {
            add(problems, format!("cloud-init failed at {}", failed.join(", ")), SEE_CLOUD_INIT);
        }
        CloudInit::Unknown { why } => {
            add(problems, format!("the state of cloud-init cannot be read: {why}"), SEE_CLOUD_INIT);
        }
        _ => {}
    }
}

/// Problems of the agent's units. A unit that failed because of a script is left out: the script is reported.
fn add_unit_problems(problems: &mut Vec<Problem>, status: &Status) {
    if status.has_scripts == Some(true) && status.setup.is_none() && status.systemd.setup_path_is_disabled {
        add(
            problems,
            "user data contain scripts, but scw-agent-setup.path, which starts them, is disabled".to_owned(),
            "`systemctl unmask scw-agent-setup.path && systemctl enable --now scw-agent-setup.path`, or delete the keys",
        );
    }
    let is_script_reported = status.setup.as_ref().is_some_and(|setup| !setup.is_success());
    for UnitProblem { unit, what } in
        status.units.iter().filter(|unit| !(unit.is_setup_unit() && is_script_reported))
    {
        let remedy = format!("see `systemctl status {unit}` and `journalctl --boot --unit {unit}`");
        add(problems, format!("{unit} {what}"), &remedy);
    }
}

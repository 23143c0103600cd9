//! What is wrong on the machine, and what to do about it, by all that the document says. Pure.

use std::io;

use crate::host_keys::sshd::server::SshServer;
use crate::scripts::history::record::Outcome;
use crate::status::document::{Problem, Status};
use crate::status::states::{Fingerprints, Platform, Reach};
use crate::system::cloud_init::CloudInit;
use crate::system::units::UnitProblem;
use crate::system::units::Units;
use crate::util::printable;

const SEE_CLOUD_INIT: &str = "see `cloud-init status --long` and /var/log/cloud-init-output.log";

impl Status {
    /// The same with its problems named, which follow from all the rest.
    #[must_use]
    pub fn with_problems(mut self) -> Self {
        self.problems = problems(&self);
        self
    }

    /// The same with what systemd says of the units, and its problems named anew.
    #[must_use]
    pub fn with_units(mut self, asked: io::Result<Units>) -> Self {
        let unknown = match asked {
            Ok(mut units) => {
                self.units = std::mem::take(&mut units.problems);
                // Elsewhere, what cloud-init does is no concern of the agent's (invariant P1).
                self.units.retain(|unit| self.platform == Platform::Instance || !unit.is_cloud_inits());
                self.systemd = units;
                None
            }
            Err(why) => Some(Problem {
                what: format!("systemd does not say how the units are: {why}"),
                remedy: "see `systemctl --failed`".to_owned(),
            }),
        };
        self = self.with_problems();
        self.problems.extend(unknown);
        self
    }
}

/// All of them, each told once.
pub(crate) fn problems(status: &Status) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut add = |what: String, remedy: &str| found.push(Problem { what, remedy: remedy.to_owned() });
    if let Reach::Unreachable { why, .. } = &status.metadata {
        add(
            why.clone(),
            "an Instance without a public IP or a route to the service cannot reach it; see `ip route` and the unit's journal",
        );
    }
    if status.fingerprints == Fingerprints::NoKeys && status.ssh_server != SshServer::NotEnabled {
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
    if let Some(why) = &status.unusable_answer {
        add(
            why.clone(),
            "the agent tries again by itself, and runs no script until then; see `scw-agent doctor`",
        );
    }
    for problem in &status.host_key_problems {
        add(problem.what.clone(), &problem.remedy);
    }
    for fault in &status.configuration {
        add(
            fault.clone(),
            "mend it until `scw-agent config check` finds no fault, then `systemctl reload scw-agent`",
        );
    }
    // Outside of a Scaleway Instance nobody is asked, so nobody is exposed.
    let exposed = if status.platform == Platform::Instance { status.exposure.problem() } else { None };
    if let Some((what, remedy)) = exposed {
        add(what, &remedy);
    }
    for script in status.setup.iter().flat_map(|setup| &setup.scripts) {
        if !script.outcome.is_success() {
            let remedy = match script.outcome {
                Outcome::NotRun(_) => {
                    "mend that; `scw-agent setup validate FILE` looks at a value before it is set"
                }
                _ => "see its output: `scw-agent setup show` and the script's key, as root",
            };
            add(format!("{}: {}", printable::line(&script.key), script.outcome), remedy);
        }
    }
    if status.platform == Platform::Instance {
        match &status.cloud_init {
            CloudInit::Done { failed } if !failed.is_empty() => {
                add(format!("cloud-init failed at {}", failed.join(", ")), SEE_CLOUD_INIT);
            }
            CloudInit::Unknown { why } => {
                add(format!("the state of cloud-init cannot be read: {why}"), SEE_CLOUD_INIT);
            }
            _ => {}
        }
    }
    if status.has_scripts == Some(true) && status.setup.is_none() && status.systemd.starts_no_script {
        add(
            "user data hold scripts, and scw-agent-setup.path, which starts them, is disabled".to_owned(),
            "`systemctl unmask scw-agent-setup.path && systemctl enable --now scw-agent-setup.path`, or delete the keys",
        );
    }
    let is_script_told = status.setup.as_ref().is_some_and(|setup| !setup.is_success());
    for UnitProblem { unit, what } in
        status.units.iter().filter(|unit| !(unit.runs_scripts() && is_script_told))
    {
        let remedy = format!("see `systemctl status {unit}` and `journalctl --boot --unit {unit}`");
        add(format!("{unit} {what}"), &remedy);
    }
    found
}

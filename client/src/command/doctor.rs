//! `doctor`: the credentials, their permissions in each zone, the version of ssh, and whether its configuration is in force.

use std::fmt::Display;

use super::arguments::Doctor;
use super::check::is_declared;
use super::exit::Exit;
use super::look_up::LIMIT;
use super::print;
use crate::credentials::load::credentials;
use crate::instances::store;
use crate::search::find::{Everything, Search};
use crate::search::parallel;
use crate::search::unknown::Unknown;
use crate::search::wanted::is_candidate;
use crate::ssh::programs::{self, Effective, NEEDED_VERSION};
use crate::ssh_config::install::Files;
use crate::util::deadline::Deadline;
use crate::util::printable::printable;

/// The name of no Instance, which is nevertheless a candidate.
const SAMPLE: &str = "00000000-0000-4000-8000-000000000000.pub.instances.scw.cloud";

/// What was found so far.
struct Report {
    text: String,
    exit: Exit,
}

impl Report {
    fn good(&mut self, what: &dyn Display) {
        self.text.push_str(&format!("ok       {what}\n"));
    }

    fn note(&mut self, what: &dyn Display) {
        self.text.push_str(&format!("note     {what}\n"));
    }

    fn problem(&mut self, what: &dyn Display, exit: Exit) {
        self.text.push_str(&format!("PROBLEM  {what}\n"));
        if self.exit == Exit::Success {
            self.exit = exit;
        }
    }
}

pub(super) fn run(options: &Doctor) -> Exit {
    let mut report = Report { text: String::new(), exit: Exit::Success };
    check_api(&mut report);
    check_ssh(&mut report, options.host.as_deref().unwrap_or(SAMPLE));
    match print(report.text.as_bytes()) {
        Exit::Success => report.exit,
        failed => failed,
    }
}

fn check_api(report: &mut Report) {
    let credentials = match credentials() {
        Ok(credentials) => credentials,
        Err(error) => return report.problem(&error, Exit::Denied),
    };
    report.good(&format!("the secret key is from {}", credentials.source));
    if ["SCW_INSECURE", "SCW_TLSVERIFY"].iter().any(|name| std::env::var_os(name).is_some()) {
        report.note(&"SCW_INSECURE is ignored: the certificate of the API is always checked");
    }
    let search = Search::new(&credentials, store::read(), Deadline::after(LIMIT));
    let Everything { instances, failed, .. } = search.everything();
    let zones = search.zones.len() - failed.len();
    if zones > 0 {
        report.good(&format!(
            "{}: {} Instances in {zones} zones can be read",
            credentials.api_url,
            instances.len()
        ));
    }
    for (zone, error) in failed {
        report.problem(&format!("{zone}: {error}"), (&Unknown::from(error.clone())).into());
    }
    if let Some(instance) = instances.first() {
        match search.api.published(&instance.zone, &instance.id) {
            Ok(_) => report.good(&"user data can be read"),
            Err(error) => {
                report.problem(&format!("user data: {error}"), (&Unknown::from(error.clone())).into())
            }
        }
    }
    let region = search.zones.first().map(|zone| zone.region().to_owned());
    let api = search.api.clone();
    let private = parallel::each(region.into_iter().collect(), search.deadline, move |region: &String| {
        api.private_addresses(region, None)
    });
    match parallel::all(private) {
        Ok(_) => report.good(&"addresses in Private Networks can be read"),
        Err(error) => report.note(&format!("hosts are not found by their private addresses: {error}")),
    }
}

fn check_ssh(report: &mut Report, host: &str) {
    match programs::version() {
        Err(error) => return report.problem(&error, Exit::Failure),
        Ok((version, text)) if version < NEEDED_VERSION => {
            let text = printable(&text);
            return report
                .problem(&format!("{text} does not know KnownHostsCommand; 8.5 is needed"), Exit::Failure);
        }
        Ok((_, text)) => report.good(&printable(&text)),
    }
    let effective = match programs::effective(host) {
        Ok(effective) => effective,
        Err(error) => return report.problem(&error, Exit::Failure),
    };
    let shown = if host == SAMPLE { "an Instance" } else { host };
    match &effective.command {
        Some(command) if command.contains(super::arguments::NAME) => {
            report.good(&format!("ssh asks this program about {}", printable(shown)));
            let program = command.split(" check").next().unwrap_or_default().trim_matches('"');
            if !std::path::Path::new(program).exists() {
                report.problem(
                    &format!("{} does not exist; run `scw-known-hosts setup`", printable(program)),
                    Exit::Failure,
                );
            }
        }
        Some(command) => report.problem(
            &format!("ssh asks another program about {}: {}", printable(shown), printable(command)),
            Exit::Failure,
        ),
        None => report.problem(
            &format!("ssh does not ask this program about {}; run `scw-known-hosts setup`", printable(shown)),
            Exit::Failure,
        ),
    }
    check_host(report, host, &effective);
}

/// Whether the host is checked, and what happens if it cannot be.
fn check_host(report: &mut Report, host: &str, effective: &Effective) {
    let is_off = matches!(effective.strict_checking.as_str(), "no" | "off" | "false");
    if host == SAMPLE {
        if is_off {
            report.note(&"StrictHostKeyChecking is off: a host whose key cannot be checked is trusted");
        }
        return;
    }
    let choices = Files::of_user().and_then(|files| files.choices().ok()).unwrap_or_default();
    let (target, shown) = (effective.target(host), printable(host));
    if is_declared(&choices.hosts, &target) {
        report.good(&format!("{shown} is declared: it is refused if its key cannot be checked"));
        if is_off || effective.known_hosts != "none" {
            report.note(
                &"an earlier line of your configuration has StrictHostKeyChecking or UserKnownHostsFile for it: \
                  if this program is missing, ssh decides alone",
            );
        }
    } else if is_candidate(&target, &store::read()) {
        report.good(&format!("{shown} is one of your Instances, as far as is known here"));
    } else {
        let why = "is not known as one of your Instances, so it is not checked; `scw-known-hosts show` looks for it";
        report.problem(&format!("{shown} {why}"), Exit::Nothing);
    }
}

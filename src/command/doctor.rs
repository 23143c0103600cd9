//! `scw-agent doctor`: tests the connection to the metadata service step by step, and prints the report.

use std::path::Path;

use crate::command::exit::Exit;
use crate::command::help::AGENT;
use crate::command::process::{block_on, print_error, print_json, print_rows};
use crate::command::rows::{RowMark, Rows, colours_wanted};
use crate::doctor::probe::probe;
use crate::doctor::report::{Daemon, FamilyReport, FindingName, Report, StepName};
use crate::local_api;
use crate::settings;
use crate::settings::load::LoadedSettings;
use crate::settings::sources::Sources;
use crate::status::document::Problem;
use crate::status::states::Platform;

pub(crate) fn run(json: bool) -> Exit {
    let LoadedSettings { settings, problems, .. } = settings::load(&Sources::default());
    for problem in problems {
        print_error(&AGENT, &format!("{problem}; this file is ignored"));
    }
    block_on(async {
        let socket = Path::new(local_api::SOCKET);
        let report = probe(&settings, socket).await;
        let printed = if json {
            print_json(&serde_json::to_string_pretty(&report).unwrap_or_default())
        } else {
            print_rows(&view(&report, colours_wanted()))
        };
        printed.or(match report.failure() {
            Some(kind) => kind.into(),
            None if report.has_problem() => Exit::Failure,
            None => Exit::Success,
        })
    })
}

fn view(report: &Report, colours: bool) -> Rows {
    let mut rows = Rows::new(colours);
    if let Platform::NotAnInstance { why } = &report.platform {
        rows.row(RowMark::Waiting, "platform", why);
    }
    for family in &report.families {
        rows.plain(&format!("{} ({})", family.family, family.address));
        family_rows(&mut rows, family);
    }
    rows.plain("the agent");
    match &report.daemon {
        Daemon::Answers { status, unreachable: None } => rows.row(RowMark::Good, "daemon", status),
        Daemon::Answers { status, unreachable: Some(why) } => {
            rows.row(RowMark::Bad, "daemon", status);
            rows.below(why);
        }
        Daemon::NotRunning => {
            rows.row(RowMark::Waiting, "daemon", "does not run; see `systemctl status scw-agent`")
        }
        Daemon::Failed { why } => rows.row(RowMark::Bad, "daemon", why),
    }
    for Problem { what, remedy } in &report.problems {
        rows.row(RowMark::Bad, "problem", what);
        rows.below(remedy);
    }
    if !report.findings.is_empty() {
        rows.plain("who else can write user data");
    }
    for finding in &report.findings {
        let name = match finding.finding {
            FindingName::UnprivilegedPorts => "local users",
            FindingName::Forwarding => "containers",
        };
        rows.row(if finding.is_problem { RowMark::Bad } else { RowMark::Waiting }, name, &finding.what);
        rows.below(&finding.remedy);
    }
    rows.plain(&report.verdict);
    rows
}

fn family_rows(rows: &mut Rows, family: &FamilyReport) {
    for step in &family.steps {
        let name = match step.step {
            StepName::Route => "route",
            StepName::SourcePort => "source port",
            StepName::Connect => "connect",
            StepName::Root => "/",
            StepName::Conf => "/conf",
            StepName::UserData => "/user_data",
        };
        let mark = if step.diagnosis.is_some() { RowMark::Bad } else { RowMark::Good };
        rows.row(mark, name, &format!("{} ({:.1} ms)", step.result, step.ms));
        for text in step.cause.iter().chain(&step.remedy) {
            rows.below(text);
        }
    }
}

//! Performs each step over both address families at the same time. The request limits bound every step.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::doctor::diagnosis::Diagnosis;
use crate::doctor::report::{Daemon, FamilyReport, Report, StepName, StepReport};
use crate::local_api::client::SocketClient;
use crate::metadata::api::refusal::Refusal;
use crate::metadata::api::request::Request;
use crate::metadata::api::response::Ask;
use crate::metadata::error::{MetadataError, TransportError};
use crate::metadata::family::Family;
use crate::metadata::transport::client::Client;
use crate::metadata::transport::connect::{has_unmarked_route, source_address};
use crate::metadata::transport::exchange::Limits;
use crate::settings::Settings;
use crate::status::document::Status;
use crate::status::states::Reachability;
use crate::system::cloud_init;
use crate::system::exposure::Exposure;
use crate::system::platform::{self, PlatformProof};
use crate::system::units;
use crate::util::printable;

/// How long to wait for an answer of the daemon or of systemd.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Tests everything. On a machine that is no Scaleway Instance, only the daemon is queried (invariant P1).
pub(crate) async fn probe(settings: &Settings, socket: &Path) -> Report {
    let limits = &settings.limits;
    let checked = platform::check(&settings.vendor);
    let (mut daemon, status) = daemon(socket, limits).await;
    // The progress of cloud-init is read last: when its last unit has ended, an earlier progress may be out of date.
    let units = units::query(ANSWER_TIMEOUT);
    let status = Status { cloud_init: cloud_init::progress(Path::new("/")), ..status }.with_units(units);
    let proof = match checked {
        Ok(proof) => proof,
        Err(why) => {
            let mut report = Report::not_an_instance(&why, daemon);
            report.add_problems(status.problems);
            return report;
        }
    };
    let [first, second] = Family::BOTH.map(|family| probe_family(family, &proof, limits));
    let (first, second) = tokio::join!(first, second);
    let families = vec![first, second];
    if let Daemon::Answers { unreachable, .. } = &mut daemon {
        if unreachable.is_some() && families.iter().any(|family| family.failed().is_none()) {
            *unreachable = ask_through_daemon(socket, limits).await.err().map(|why| why.to_string());
        }
    }
    let mut report = Report::new(families, daemon, &Exposure::of_this_machine(has_unmarked_route));
    report.add_problems(status.problems);
    report
}

async fn probe_family(family: Family, proof: &PlatformProof, limits: &Limits) -> FamilyReport {
    let mut steps = Steps::default();
    let mut client = Client::for_family(family, proof, limits.clone());
    if steps.add(StepName::Route, route(family), Diagnosis::of_system)
        && steps.add(StepName::SourcePort, client.try_source_port(), Diagnosis::of_connect)
    {
        let opened = client.open().await.map(|()| "connected").map_err(MetadataError::from);
        if steps.add(StepName::Connect, opened, Diagnosis::of) {
            probe_paths(&mut client, &mut steps).await;
        }
    }
    client.finish().await;
    FamilyReport { family, address: family.address().to_string(), steps: steps.reports }
}

/// Sends all three requests, even if the first ones fail: they fail for different reasons.
async fn probe_paths(client: &mut Client, steps: &mut Steps) {
    let root = root(client).await;
    steps.add(StepName::Root, root.map_err(as_unexpected_status), Diagnosis::of);
    let instance = client.instance().await.map(|instance| format!("Instance {}", instance.id));
    steps.add(StepName::Conf, instance.map_err(as_unexpected_status), Diagnosis::of);
    client.close_after_answer();
    let keys = client.list().await.map(|keys| match keys.len() {
        1 => "1 key".to_owned(),
        count => format!("{count} keys"),
    });
    steps.add(StepName::UserData, keys, Diagnosis::of);
}

/// Corrects the error of a path that accepts any source port: its refusal has another reason.
fn as_unexpected_status(why: MetadataError) -> MetadataError {
    match why {
        MetadataError::Refused(Refusal::SourcePort(status)) => Refusal::Unexpected(status).into(),
        why => why,
    }
}

/// The answer to `GET /`.
#[derive(Deserialize)]
struct Root {
    api: String,
}

async fn root(client: &mut Client) -> Result<String, MetadataError> {
    let body = client.text(Request::Probe).await?;
    let root: Root =
        serde_json::from_slice(&body).map_err(|why| Refusal::Malformed(printable::json_fault(&why)))?;
    if root.api == "api-metadata" {
        Ok(root.api)
    } else {
        Err(Refusal::Malformed("the answer is from another API".to_owned()).into())
    }
}

fn route(family: Family) -> io::Result<String> {
    let (address, marked) = source_address(family)?;
    Ok(format!(
        "from {address}{}",
        if marked { ", with systemd's mark, which passes systemd's lock" } else { "" }
    ))
}

/// The state and the status document of the daemon.
async fn daemon(socket: &Path, limits: &Limits) -> (Daemon, Status) {
    match ask_daemon(socket, limits).await {
        Ok(status) => {
            let unreachable = match &status.metadata {
                Reachability::Unreachable { why, .. } => Some(why.clone()),
                _ => None,
            };
            (Daemon::Answers { status: status.summary_line(), unreachable }, status)
        }
        Err(daemon) => (daemon, Status::unknown()),
    }
}

async fn ask_daemon(socket: &Path, limits: &Limits) -> Result<Status, Daemon> {
    let status = match SocketClient::connect(socket, limits).await {
        Ok(mut daemon) => daemon.status(ANSWER_TIMEOUT, true).await,
        Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Err(Daemon::NotRunning);
        }
        Err(why) => return Err(Daemon::Failed { why: why.to_string() }),
    };
    status.map_err(|why| Daemon::Failed { why: why.to_string() })
}

/// Makes the daemon send a request again, because what it knows may be an hour old. This process may pass a
/// lock that the daemon does not pass.
async fn ask_through_daemon(socket: &Path, limits: &Limits) -> Result<(), TransportError> {
    let mut daemon = SocketClient::connect(socket, limits).await.map_err(TransportError::Socket)?;
    daemon.ask(Request::Probe).await.map(drop)
}

/// The reports of the steps so far, and the time of the last one.
struct Steps {
    since: Instant,
    reports: Vec<StepReport>,
}

impl Default for Steps {
    fn default() -> Self {
        Self { since: Instant::now(), reports: Vec::new() }
    }
}

impl Steps {
    /// Adds the report of a step. Returns whether the step succeeded.
    fn add<T: Display, E: Display>(
        &mut self,
        step: StepName,
        result: Result<T, E>,
        diagnose: fn(&E) -> Diagnosis,
    ) -> bool {
        let now = Instant::now();
        let ms = (now - self.since).as_secs_f64() * 1000.0;
        self.since = now;
        let diagnosis = result.as_ref().err().map(diagnose);
        self.reports.push(StepReport {
            step,
            // Rounded to microseconds; more precision is useless.
            ms: (ms * 1000.0).round() / 1000.0,
            result: result.map_or_else(|why| why.to_string(), |text| text.to_string()),
            diagnosis,
            cause: diagnosis.map(|diagnosis| diagnosis.cause().to_owned()),
            remedy: diagnosis.map(|diagnosis| diagnosis.remedy().to_owned()),
        });
        diagnosis.is_none()
    }
}

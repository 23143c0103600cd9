//! Trying each step over each family, both side by side. Every step is bounded by the request limits.

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
use crate::metadata::transport::connect::source_address;
use crate::metadata::transport::exchange::Limits;
use crate::settings::Settings;
use crate::status::document::Status;
use crate::status::states::Reach;
use crate::system::cloud_init;
use crate::system::exposure::Exposure;
use crate::system::platform;
use crate::system::platform::PlatformProof;
use crate::system::units;
use crate::util::printable;

/// How long the daemon or systemd may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks at everything. Outside of a Scaleway Instance that is the daemon alone (invariant P1).
pub(crate) async fn probe(settings: &Settings, socket: &Path) -> Report {
    let limits = &settings.limits;
    let checked = platform::check(&settings.vendor);
    let (mut daemon, status) = daemon(socket, limits).await;
    let status = Status { cloud_init: cloud_init::progress(Path::new("/")), ..status };
    let status = status.with_units(units::look(PATIENCE));
    let proof = match checked {
        Ok(proof) => proof,
        Err(why) => {
            let mut report = Report::not_an_instance(&why, daemon);
            report.add_problems(status.problems);
            return report;
        }
    };
    let [first, second] = Family::BOTH.map(|family| look_at(family, &proof, limits));
    let (first, second) = tokio::join!(first, second);
    let families = vec![first, second];
    if let Daemon::Answers { unreachable, .. } = &mut daemon {
        if unreachable.is_some() && families.iter().any(|family| family.failed().is_none()) {
            *unreachable = ask_through_daemon(socket, limits).await.err().map(|why| why.to_string());
        }
    }
    let mut report = Report::new(families, daemon, &Exposure::of_this_machine());
    report.add_problems(status.problems);
    report
}

async fn look_at(family: Family, proof: &PlatformProof, limits: &Limits) -> FamilyReport {
    let mut steps = Steps::default();
    let mut client = Client::over(family, proof, limits.clone());
    if steps.add(StepName::Route, route(family), Diagnosis::of_system)
        && steps.add(StepName::SourcePort, client.try_source_port(), Diagnosis::of_connect)
    {
        let opened = client.open().await.map(|()| "connected").map_err(MetadataError::from);
        if steps.add(StepName::Connect, opened, Diagnosis::of) {
            requests(&mut client, &mut steps).await;
        }
    }
    client.finish().await;
    FamilyReport { family, address: family.address().to_string(), steps: steps.done }
}

/// All three are tried, whatever the first ones say: they fail for different reasons.
async fn requests(client: &mut Client, steps: &mut Steps) {
    let root = root(client).await;
    steps.add(StepName::Root, root.map_err(from_any_port), Diagnosis::of);
    let instance = client.instance().await.map(|instance| format!("Instance {}", instance.id));
    steps.add(StepName::Conf, instance.map_err(from_any_port), Diagnosis::of);
    client.close_after_answer();
    let keys = client.list().await.map(|keys| match keys.len() {
        1 => "1 key".to_owned(),
        count => format!("{count} keys"),
    });
    steps.add(StepName::UserData, keys, Diagnosis::of);
}

/// A path that answers any source port refuses for another reason.
fn from_any_port(why: MetadataError) -> MetadataError {
    match why {
        MetadataError::Refused(Refusal::SourcePort(status)) => Refusal::Unexpected(status).into(),
        why => why,
    }
}

/// What `GET /` says of itself.
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
        Err(Refusal::Malformed("it says that it is another API".to_owned()).into())
    }
}

fn route(family: Family) -> io::Result<String> {
    let (address, marked) = source_address(family)?;
    Ok(format!("from {address}{}", if marked { ", past a lock that systemd's mark opens" } else { "" }))
}

/// What the daemon says of itself.
async fn daemon(socket: &Path, limits: &Limits) -> (Daemon, Status) {
    match ask_daemon(socket, limits).await {
        Ok(status) => {
            let unreachable = match &status.metadata {
                Reach::Unreachable { why, .. } => Some(why.clone()),
                _ => None,
            };
            (Daemon::Answers { status: status.line(), unreachable }, status)
        }
        Err(daemon) => (daemon, Status::unknown()),
    }
}

async fn ask_daemon(socket: &Path, limits: &Limits) -> Result<Status, Daemon> {
    let status = match SocketClient::connect(socket, limits).await {
        Ok(mut daemon) => daemon.status(PATIENCE).await,
        Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Err(Daemon::NotRunning);
        }
        Err(why) => return Err(Daemon::Failed { why: why.to_string() }),
    };
    status.map_err(|why| Daemon::Failed { why: why.to_string() })
}

/// Has the daemon try again: what it knows may be an hour old. This process may pass a lock that the daemon does not pass.
async fn ask_through_daemon(socket: &Path, limits: &Limits) -> Result<(), TransportError> {
    let mut daemon = SocketClient::connect(socket, limits).await.map_err(TransportError::Socket)?;
    daemon.ask(Request::Probe).await.map(drop)
}

/// The steps so far, with the time since the one before.
struct Steps {
    since: Instant,
    done: Vec<StepReport>,
}

impl Default for Steps {
    fn default() -> Self {
        Self { since: Instant::now(), done: Vec::new() }
    }
}

impl Steps {
    /// Writes a step down; whether it went well.
    fn add<T: Display, E: Display>(
        &mut self,
        step: StepName,
        result: Result<T, E>,
        judge: fn(&E) -> Diagnosis,
    ) -> bool {
        let now = Instant::now();
        let ms = (now - self.since).as_secs_f64() * 1000.0;
        self.since = now;
        let trouble = result.as_ref().err().map(judge);
        self.done.push(StepReport {
            step,
            // Microseconds are as exact as it is worth.
            ms: (ms * 1000.0).round() / 1000.0,
            result: result.map_or_else(|why| why.to_string(), |good| good.to_string()),
            trouble,
            cause: trouble.map(|trouble| trouble.cause().to_owned()),
            remedy: trouble.map(|trouble| trouble.remedy().to_owned()),
        });
        trouble.is_none()
    }
}

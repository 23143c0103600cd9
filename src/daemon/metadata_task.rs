//! The task that owns the connection to the metadata service. The other tasks send requests through a
//! [`MetadataHandle`]. Requests are answered in their order, over one connection (invariant T4).

use tokio::sync::{mpsc, oneshot, watch};

use crate::daemon::fingerprint_checks::{FingerprintChecks, RequestOrigin};
use crate::daemon::heartbeat::Heartbeat;
use crate::daemon::shared_status::SharedStatus;
use crate::metadata::api::request::Request;
use crate::metadata::api::response::{Ask, Response};
use crate::metadata::error::{ErrorKind, TransportError};
use crate::metadata::transport::client::Client;
use crate::settings::Settings;
use crate::system::platform::{self, NotAnInstance};

/// The maximum number of queued requests; the next sender waits until there is room in the queue.
pub(crate) const QUEUE_LENGTH: u32 = 32;

/// A request in the queue.
struct QueuedRequest {
    request: Request,
    from: RequestOrigin,
    /// Whether the connection is closed after it ([`Ask::ask_last`]).
    is_last: bool,
    reply: oneshot::Sender<Result<Response, TransportError>>,
}

/// Sends requests to the task.
#[derive(Clone)]
pub(crate) struct MetadataHandle {
    queue: mpsc::Sender<QueuedRequest>,
    from: RequestOrigin,
}

/// Creates the task and a handle to it for the rounds. The task ends when the last handle is dropped.
pub(crate) fn create(
    mut settings: watch::Receiver<Settings>,
    shared_status: SharedStatus,
    checks: FingerprintChecks,
    heartbeat: Heartbeat,
) -> (MetadataHandle, impl Future<Output = ()>) {
    let (handle, mut queue) = mpsc::channel(QUEUE_LENGTH as usize);
    let mut client = client_for(&settings.borrow_and_update());
    let task = async move {
        while let Some(QueuedRequest { request, from, is_last, reply }) = queue.recv().await {
            // The client may have gone while its request was queued.
            if reply.is_closed() {
                continue;
            }
            if settings.has_changed().is_ok_and(|changed| changed) {
                let settings = settings.borrow_and_update();
                match (&mut client, client_for(&settings)) {
                    // This keeps the connection.
                    (Ok(client), Ok(_)) => client.set_limits(settings.limits.clone()),
                    (client, new) => *client = new,
                }
            }
            let client = match &mut client {
                Ok(client) => client,
                Err(why) => {
                    let _ = reply.send(Err(why.clone().into()));
                    continue;
                }
            };
            heartbeat.set_due_within(settings.borrow().limits.total);
            let sent = checks.begin_request();
            let answer = if is_last {
                client.ask_last(request.clone()).await
            } else {
                client.ask(request.clone()).await
            };
            heartbeat.set_idle();
            match &answer {
                Ok(_) => shared_status.set_reached(client.family()),
                Err(why) if matches!(why.kind(), ErrorKind::Unreachable | ErrorKind::NotPermitted) => {
                    shared_status.set_not_reached(&why.to_string());
                }
                // The service answered, even if the answer is unusable.
                Err(_) => shared_status.set_reached(client.family()),
            }
            checks.take_answer(from, sent, &request, &answer);
            let _ = reply.send(answer);
        }
    };
    (MetadataHandle { queue: handle, from: RequestOrigin::Rounds }, task)
}

/// Creates the client, but only where the metadata service is trusted (invariant P1).
fn client_for(settings: &Settings) -> Result<Client, NotAnInstance> {
    let proof = platform::check(&settings.vendor)?;
    Ok(Client::new(&proof, settings.limits.clone()))
}

impl MetadataHandle {
    /// The handle for the requests of programs.
    pub(crate) fn for_programs(&self) -> Self {
        Self { from: RequestOrigin::Program, ..self.clone() }
    }

    /// Sends one request to the metadata service and returns its answer.
    pub(crate) async fn send(&self, request: Request, is_last: bool) -> Result<Response, TransportError> {
        let stopping = || TransportError::Relayed(ErrorKind::Unreachable, "the agent is stopping".to_owned());
        let (reply, answer) = oneshot::channel();
        let queued = QueuedRequest { request, from: self.from, is_last, reply };
        self.queue.send(queued).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }
}

impl Ask for MetadataHandle {
    async fn ask(&mut self, request: Request) -> Result<Response, TransportError> {
        self.send(request, false).await
    }

    async fn ask_last(&mut self, request: Request) -> Result<Response, TransportError> {
        self.send(request, true).await
    }
}

//! The task that owns the connection to the metadata service. Everybody asks through a [`MetadataHandle`]; questions are
//! answered in their order, over one connection (law T4).

use tokio::sync::{mpsc, oneshot, watch};

use crate::daemon::heartbeat::Heartbeat;
use crate::daemon::shared_status::SharedStatus;
use crate::metadata::api::request::Request;
use crate::metadata::api::response::{Ask, Response};
use crate::metadata::error::{ErrorKind, TransportError};
use crate::metadata::transport::client::Client;
use crate::settings::Settings;
use crate::system::platform;
use crate::system::platform::NotAnInstance;

/// Questions that may wait; the next asker waits for a place.
pub(crate) const QUEUE: u32 = 32;

type QueuedRequest = (Request, oneshot::Sender<Result<Response, TransportError>>);

/// Asks the task.
#[derive(Clone)]
pub(crate) struct MetadataHandle(mpsc::Sender<QueuedRequest>);

/// Makes the task and the way to it. The task ends when the last handle is gone.
pub(crate) fn task(
    mut settings: watch::Receiver<Settings>,
    board: SharedStatus,
    pulse: Heartbeat,
) -> (MetadataHandle, impl Future<Output = ()>) {
    let (handle, mut questions) = mpsc::channel::<QueuedRequest>(QUEUE as usize);
    let mut client = client_for(&settings.borrow_and_update());
    let task = async move {
        while let Some((request, asker)) = questions.recv().await {
            // Whoever asked may have gone away while it waited.
            if asker.is_closed() {
                continue;
            }
            if settings.has_changed().is_ok_and(|changed| changed) {
                let settings = settings.borrow_and_update();
                match (&mut client, client_for(&settings)) {
                    // Keeps the connection.
                    (Ok(client), Ok(_)) => client.set_limits(settings.limits.clone()),
                    (client, new) => *client = new,
                }
            }
            let client = match &mut client {
                Ok(client) => client,
                Err(why) => {
                    let _ = asker.send(Err(why.clone().into()));
                    continue;
                }
            };
            pulse.next_within(settings.borrow().limits.whole);
            let answer = client.ask(request).await;
            pulse.idle();
            match &answer {
                Ok(_) => board.reached(client.family()),
                Err(why) if matches!(why.kind(), ErrorKind::Unreachable | ErrorKind::NotPermitted) => {
                    board.not_reached(&why.to_string());
                }
                // It answered, if only nonsense.
                Err(_) => board.reached(client.family()),
            }
            let _ = asker.send(answer);
        }
    };
    (MetadataHandle(handle), task)
}

/// The service is asked only where it is trusted (invariant P1).
fn client_for(settings: &Settings) -> Result<Client, NotAnInstance> {
    let proof = platform::check(&settings.vendor)?;
    Ok(Client::new(&proof, settings.limits.clone()))
}

impl MetadataHandle {
    /// Carries one request to the service.
    pub(crate) async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let stopping = || TransportError::Relayed(ErrorKind::Unreachable, "the agent is stopping".to_owned());
        let (asker, answer) = oneshot::channel();
        self.0.send((request, asker)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }
}

impl Ask for MetadataHandle {
    async fn ask(&mut self, request: Request) -> Result<Response, TransportError> {
        self.send(request).await
    }
}

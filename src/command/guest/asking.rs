//! Asks the metadata service for a guest command: as any user could, and for up to a minute, since these commands may run before the network
//! is up.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::command::exit::Exit;
use crate::command::grammar::Program;
use crate::command::process::block_on;
use crate::local_api;
use crate::local_api::metadata_access::MetadataAccess;
use crate::metadata::error::{ErrorKind, MetadataError, Step, TransportError};
use crate::metadata::retry::backoff::{Budget, Cause, Failure, Retry, RetryDecision};
use crate::settings::sources::Sources;
use crate::settings::{self, Settings};
use crate::util::random;

/// The time after which an error is final.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// The longest wait between two tries. A network that comes up is noticed soon.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Asks, and calls `with_answer`. An error is printed, and ends the command with `failure`.
pub(super) fn ask_then<T>(
    program: &Program,
    failure: Exit,
    ask: impl AsyncFn(&mut MetadataAccess) -> Result<T, MetadataError>,
    with_answer: impl FnOnce(T) -> Exit,
) -> Exit {
    block_on(async {
        match ask_for_a_minute(ask).await {
            Ok(answer) => with_answer(answer),
            Err(why) => program.fail(&why, failure),
        }
    })
}

/// Asks until there is an answer, an error that lasts, or a minute has passed.
pub(crate) async fn ask_for_a_minute<T>(
    ask: impl AsyncFn(&mut MetadataAccess) -> Result<T, MetadataError>,
) -> Result<T, MetadataError> {
    let Settings { limits, vendor, .. } = settings::load(&Sources::default()).settings;
    let deadline = Instant::now() + PATIENCE;
    let mut retry = Retry::new(Budget::Unlimited);
    let mut last_error: Option<MetadataError> = None;
    loop {
        let once = async {
            let mut access =
                MetadataAccess::open_as_any_user(Path::new(local_api::SOCKET), &limits, &vendor).await?;
            let answer = ask(&mut access).await;
            access.finish().await;
            answer
        };
        let why = match timeout_at(deadline, once).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(why)) => why,
            Err(_) => return Err(last_error.unwrap_or_else(no_answer)),
        };
        let failure = Failure::of(&why);
        if failure.cause == Cause::Lasting && why.kind() != ErrorKind::Unreachable {
            return Err(why);
        }
        let RetryDecision::Wait(pause) = retry.decide(failure, &mut random::generator()) else {
            return Err(why);
        };
        let pause = if failure.requested_wait.is_some() { pause } else { pause.min(MAX_PAUSE) };
        if Instant::now() + pause >= deadline {
            return Err(why);
        }
        last_error = Some(why);
        sleep(pause).await;
    }
}

fn no_answer() -> MetadataError {
    TransportError::TimedOut { step: Step::Total, after: PATIENCE }.into()
}

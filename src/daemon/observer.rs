//! The task that learns what the machine is once the metadata service answers: the Instance, and whether there are
//! scripts, for which it asks PID 1 to start the setup runner: a path unit watches for a file. The daemon itself runs nothing.

use std::time::Duration;

use tokio::time::sleep;

use super::board::Board;
use super::metadata::Handle;
use crate::files;
use crate::metadata::retry::Backoff;
use crate::metadata::{Ask, MetadataError};
use crate::random;
use crate::setup::{Places, ScriptKind};

/// A runner that is at work needs no second request.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Ends when all is known and the runner has done this boot's work.
pub(super) async fn task(mut api: Handle, board: Board, places: &Places) {
    let mut random = random::generator();
    let mut backoff = Backoff::default();
    let scripts = loop {
        match observe(&mut api, &board).await {
            Ok(scripts) => break scripts,
            Err(why) => sleep(backoff.after_failure(why.retry_after(), &mut random)).await,
        }
    };
    backoff.reset();
    // The runner takes the request away when it starts. It may have come too early, or failed to reach us: until its summary
    // is there, ask again.
    while scripts && !places.summary.exists() {
        if let Err(why) = files::write_whole(&places.request, b"", 0o644) {
            tracing::error!("the setup runner cannot be asked for by {}: {why}", places.request.display());
        }
        sleep(ASK_AGAIN + backoff.after_failure(None, &mut random)).await;
    }
}

/// Learns the Instance, and whether it has scripts.
async fn observe(api: &mut Handle, board: &Board) -> Result<bool, MetadataError> {
    let instance = api.instance().await?;
    board.instance(instance);
    let keys = api.list().await?;
    Ok(keys.iter().any(|key| ScriptKind::of(key).is_some()))
}

//! Learning what the machine is: the Instance, and whether it has scripts, for which PID 1 is asked to start the setup runner: a path unit
//! watches for a file. The daemon itself runs nothing.

use std::path::Path;
use std::time::Duration;

use super::board::Board;
use crate::files;
use crate::metadata::{Ask, InstanceId, MetadataError};
use crate::setup::{self, Places};

/// A runner that is at work needs no second request soon; one that failed to reach the service does.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// What was learned in this life of the daemon. It is asked for once.
#[derive(Debug, Default)]
pub(super) struct Observer {
    has_scripts: Option<bool>,
}

impl Observer {
    /// Learns what is not known yet.
    pub(super) async fn observe(
        &mut self,
        api: &mut impl Ask,
        board: &Board,
        seen: &Path,
    ) -> Result<(), MetadataError> {
        if self.has_scripts.is_none() {
            let instance = api.instance().await?;
            tell_host_keys(seen, &instance.id);
            board.instance(instance);
            let keys = api.list().await?;
            let has_scripts = keys.iter().any(setup::is_of_a_boot);
            board.has_scripts(has_scripts);
            self.has_scripts = Some(has_scripts);
        }
        Ok(())
    }

    /// Asks for the runner, unless it has done this boot's work. Where it was asked for, when to look at that again.
    pub(super) fn ask_for_runner(&self, places: &Places) -> Option<Duration> {
        if self.has_scripts != Some(true) || places.summary.exists() {
            return None;
        }
        // The runner takes the file away when it starts.
        if let Err(why) = files::write_whole(&places.request, b"", 0o644) {
            tracing::error!("the setup runner cannot be asked for by {}: {why}", places.request.display());
        }
        Some(ASK_AGAIN)
    }
}

/// The daemon may neither read the record of the Instance nor write host keys. It leaves the id, and PID 1 starts the role that may.
fn tell_host_keys(seen: &Path, instance: &InstanceId) {
    if let Err(why) = files::write_whole(seen, instance.as_str().as_bytes(), 0o644) {
        tracing::error!("the Instance's id cannot be left in {}: {why}", seen.display());
    }
}

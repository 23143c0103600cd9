//! Having sshd asked again what it serves (law H3), when its configuration or its keys changed: that takes root, so a file is left, and PID 1
//! starts the role that has it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::files;
use crate::host_keys::Places;

/// A file's size and change time; what is inside may not be ours to read.
type Stamp = (u64, i64, i64);

/// What was asked for.
#[derive(Debug, Default)]
pub(super) struct Survey {
    asked: Option<BTreeMap<PathBuf, Stamp>>,
}

impl Survey {
    /// Asks in the beginning, and after each change. Without an sshd there is nothing to ask.
    pub(super) fn ask_if_needed(&mut self, places: &Places) {
        let stamps = stamps(&places.keys);
        if stamps.is_empty() || self.asked.as_ref() == Some(&stamps) {
            return;
        }
        match files::write_whole(&places.survey_request, b"", 0o644) {
            Ok(()) => self.asked = Some(stamps),
            Err(why) => tracing::error!(
                "sshd cannot be asked what it serves, by {}: {why}",
                places.survey_request.display()
            ),
        }
    }
}

/// Of sshd's configuration, and of the keys: only root can see whether those are any good.
fn stamps(folder: &Path) -> BTreeMap<PathBuf, Stamp> {
    if !folder.join("sshd_config").exists() {
        return BTreeMap::new();
    }
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let stamp = |entry: fs::DirEntry| {
        let file = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        Some((entry.path(), (file.size(), file.ctime(), file.ctime_nsec())))
    };
    entries(folder).chain(entries(&folder.join("sshd_config.d"))).filter_map(stamp).collect()
}

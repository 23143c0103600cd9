//! SELinux labels of files that this program writes.

use std::path::Path;
use std::process::{Command, Stdio};

/// Restores SELinux labels. A file that was renamed still has the label of the folder in which it was made.
pub(crate) fn restore_labels(path: &Path) {
    if Path::new("/sys/fs/selinux/enforce").exists() {
        let result = Command::new("restorecon").arg("-R").arg(path).stdin(Stdio::null()).status();
        if !result.is_ok_and(|status| status.success()) {
            tracing::warn!("restorecon failed; SELinux may deny access to {}", path.display());
        }
    }
}

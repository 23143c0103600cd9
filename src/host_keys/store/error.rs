//! The errors of a host key.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::host_keys::store::plan::SkipReason;

/// Why a host key is missing, unusable or not replaced.
#[derive(Debug, Error)]
pub(crate) enum HostKeyError {
    /// The private key cannot be checked or replaced, so it is not changed.
    #[error("{0}")]
    Skipped(SkipReason),
    /// There is no key that sshd can load.
    #[error("there is no key that sshd can load")]
    Missing,
    /// The key is still the same after a renewal.
    #[error("the key still belongs to the other Instance")]
    NotReplaced,
    /// ssh-keygen could not be started.
    #[error("cannot run ssh-keygen: {0}")]
    NoKeygen(#[source] io::Error),
    /// ssh-keygen failed, with this message.
    #[error("ssh-keygen failed: {0}")]
    Keygen(String),
    /// A file could not be written, synced or renamed in this folder.
    #[error("cannot write the key in {}: {}", .0.display(), .1)]
    File(PathBuf, #[source] io::Error),
}

impl HostKeyError {
    /// Whether the cause is a missing permission of the user who runs this.
    pub(crate) fn is_permission(&self) -> bool {
        match self {
            Self::Skipped(SkipReason::Unreadable(_)) => !nix::unistd::geteuid().is_root(),
            Self::File(_, why) | Self::NoKeygen(why) => why.kind() == io::ErrorKind::PermissionDenied,
            _ => false,
        }
    }
}

//! What can go wrong with a host key.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::host_keys::store::plan::Reason;

/// Why a key is not as it should be.
#[derive(Debug, Error)]
pub(crate) enum HostKeyError {
    /// The private key cannot be judged or replaced, so it is left alone.
    #[error("{0}")]
    LeftAlone(Reason),
    /// There is no key that sshd can load.
    #[error("there is no key that sshd can load")]
    Missing,
    /// After the renewal, the key is the same as before.
    #[error("the key is still that of the other Instance")]
    NotReplaced,
    /// ssh-keygen could not be started.
    #[error("ssh-keygen cannot be run: {0}")]
    NoKeygen(#[source] io::Error),
    /// ssh-keygen failed; its own message.
    #[error("ssh-keygen failed: {0}")]
    Keygen(String),
    /// A file could not be written, synced or renamed in this folder.
    #[error("the key cannot be put into {}: {}", .0.display(), .1)]
    File(PathBuf, #[source] io::Error),
}

impl HostKeyError {
    /// Whether it is a matter of who runs this.
    pub(crate) fn is_permission(&self) -> bool {
        match self {
            Self::LeftAlone(Reason::Unreadable(_)) => !nix::unistd::geteuid().is_root(),
            Self::File(_, why) | Self::NoKeygen(why) => why.kind() == io::ErrorKind::PermissionDenied,
            _ => false,
        }
    }
}

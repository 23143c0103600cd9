//! The types of host keys that the agent makes, and the names of their files.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A type of host key, as `ssh-keygen -t` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// Elliptic curve, NIST P-256.
    Ecdsa,
    /// Edwards curve 25519.
    Ed25519,
    /// RSA, with the default size of `ssh-keygen` (3072 bits).
    Rsa,
}

impl KeyType {
    /// All types, in the order of their file names.
    pub const ALL: [Self; 3] = [Self::Ecdsa, Self::Ed25519, Self::Rsa];

    /// The file name of the private key, `ssh_host_TYPE_key`.
    pub fn file_name(self) -> String {
        format!("ssh_host_{self}_key")
    }

    /// The algorithm, with which a line of this type begins in a `.pub` file.
    pub fn algorithm(self) -> &'static str {
        match self {
            Self::Ecdsa => "ecdsa-sha2-nistp256",
            Self::Ed25519 => "ssh-ed25519",
            Self::Rsa => "ssh-rsa",
        }
    }

    /// The path of the private key.
    pub fn private_path(self, folder: &Path) -> PathBuf {
        folder.join(self.file_name())
    }

    /// The path of the public key.
    pub fn public_path(self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.pub", self.file_name()))
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ecdsa => "ecdsa",
            Self::Ed25519 => "ed25519",
            Self::Rsa => "rsa",
        })
    }
}

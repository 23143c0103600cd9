//! The programs of the machine that the demo needs.

use std::path::PathBuf;

/// Programs and their Debian packages.
const TOOLS: [(&str, &str); 7] = [
    ("ip", "iproute2"),
    ("setpriv", "util-linux"),
    ("timeout", "coreutils"),
    ("curl", "curl"),
    ("ssh", "openssh-client"),
    ("ssh-keyscan", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
];

/// Checks that all programs are installed; the error lists the missing ones.
pub(crate) fn check_tools() -> Result<(), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let is_missing = |(name, _): &&(&str, &str)| !folders.iter().any(|folder| folder.join(name).exists());
    let (names, mut packages): (Vec<_>, Vec<_>) = TOOLS.iter().filter(is_missing).copied().unzip();
    packages.dedup();
    if names.is_empty() {
        return Ok(());
    }
    Err(format!("{} missing: apt-get install {}", names.join(", "), packages.join(" ")))
}

//! The lines about the served keys for the console. Each set of lines is printed once in a boot.

use std::fmt::Write as _;

use crate::host_keys::paths::HostKeyPaths;
use crate::host_keys::sshd::server::SshServer;
use crate::host_keys::store::served::LocalKeys;
use crate::util::files;

/// No set of lines comes near this size; a larger file is ignored.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// A line for each published key. Empty if the console already shows these lines in this boot, or no OpenSSH server is enabled.
pub(super) fn new_console_lines(paths: &HostKeyPaths, served: &LocalKeys) -> String {
    let mut lines = String::new();
    for key in served.served().filter(|_| served.instance.is_some()) {
        let _ = writeln!(lines, "host key {} {} ({})", key.bits, key.fingerprint(), key.type_name);
    }
    let printed = files::read_bounded(&paths.console_lines, MAX_FILE_BYTES).ok().flatten();
    if lines.is_empty()
        || printed.as_deref() == Some(lines.as_bytes())
        || SshServer::read(&paths.root) == SshServer::NotEnabled
    {
        return String::new();
    }
    // If the lines cannot be saved, they are printed again later. That is no reason to fail.
    let _ = paths.console_lines.parent().map_or(Ok(()), files::create_private_subfolder);
    let _ = files::write_atomic(&paths.console_lines, lines.as_bytes(), 0o600);
    lines
}

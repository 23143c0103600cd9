//! The problems of host keys, each with its remedy. Pure.

use std::path::Path;

use crate::host_keys::sshd::effective::EffectiveHostKeys;
use crate::host_keys::store::apply::KeyChanges;
use crate::host_keys::store::error::HostKeyError;
use crate::host_keys::store::key_file::KeyFile;
use crate::host_keys::store::mounts::Obstacle;
use crate::host_keys::store::plan::{KeyPlan, SkipReason};
use crate::host_keys::store::served::KeyProblem;

/// The units that make the keys.
const UNITS: &str = "scw-agent-hostkeys.service scw-agent-hostkeys-settle.service";
/// The remedy if the cause is gone or not known.
const MAKE_AGAIN: &str =
    "see the journal of scw-agent-hostkeys.service; to try again, run `scw-agent host-keys ensure` as root";
/// The folder that the units may write to although they have `ProtectSystem=full`.
const WRITABLE: &str = "/etc/ssh";
/// Folders that the units may not write to.
const READ_ONLY: [&str; 4] = ["/etc", "/usr", "/boot", "/efi"];
/// Folders that the units cannot even see.
const HIDDEN: [&str; 3] = ["/home", "/root", "/run/user"];

/// The problems of the keys after a pass. `plans` has what would still have to be done to each key, `changes` the errors of the pass.
pub(crate) fn problems(keys: &[KeyFile], plans: &[KeyPlan], changes: &KeyChanges) -> Vec<KeyProblem> {
    let failed = changes.failed.iter().map(|(path, error)| problem(path, error));
    let remaining = keys.iter().zip(plans).filter_map(|(key, plan)| {
        let is_reported = changes.failed.iter().any(|(path, _)| *path == key.path);
        match plan {
            _ if is_reported => None,
            KeyPlan::Skip(SkipReason::InAgent) => None,
            KeyPlan::Skip(reason) => Some(problem(&key.path, &HostKeyError::Skipped(reason.clone()))),
            KeyPlan::Make { .. } => Some(problem(&key.path, &HostKeyError::Missing)),
            _ => None,
        }
    });
    failed.chain(remaining).collect()
}

fn problem(path: &Path, error: &HostKeyError) -> KeyProblem {
    KeyProblem { what: format!("{}: {error}", path.display()), remedy: remedy(path, error) }
}

/// The problem that sshd cannot start, because none of the files in its configuration has a key that it can use.
pub(crate) fn no_usable_key(effective: &EffectiveHostKeys) -> KeyProblem {
    let files: Vec<_> = effective.files.iter().map(|path| path.display().to_string()).collect();
    let files = if files.is_empty() { "its configuration names none".to_owned() } else { files.join(", ") };
    KeyProblem {
        what: format!("sshd has no host key that it can use ({files})"),
        remedy: "see the journal of scw-agent-hostkeys.service, and `sshd -t`".to_owned(),
    }
}

fn remedy(path: &Path, error: &HostKeyError) -> String {
    match error {
        HostKeyError::Skipped(SkipReason::NotVisible(Obstacle::Hidden(_))) => {
            drop_in(path).unwrap_or_default()
        }
        HostKeyError::Skipped(SkipReason::NotVisible(Obstacle::NotMounted(folder))) => {
            format!("mount {} before sshd starts", folder.display())
        }
        HostKeyError::Skipped(SkipReason::UnknownType) => format!(
            "make it with `ssh-keygen -t ed25519 -N '' -f {}`, or remove its HostKey line from sshd's configuration",
            path.display()
        ),
        HostKeyError::Skipped(SkipReason::InAgent) => {
            "replace the key in the agent: another Instance has it, too".to_owned()
        }
        HostKeyError::Skipped(SkipReason::Encrypted) => {
            format!("remove the passphrase with `ssh-keygen -p -f {}`", path.display())
        }
        HostKeyError::Skipped(SkipReason::PublicOnly) => {
            "set HostKey to the path of the private key, or set HostKeyAgent".to_owned()
        }
        HostKeyError::Missing => drop_in(path).unwrap_or_else(|| MAKE_AGAIN.to_owned()),
        HostKeyError::File(_, why) if why.kind() == std::io::ErrorKind::ReadOnlyFilesystem => {
            drop_in(path).unwrap_or_else(|| "make the file system writable".to_owned())
        }
        _ => MAKE_AGAIN.to_owned(),
    }
}

/// How to let the units make a key at `path`, by a drop-in; `None` if they may do that already.
pub(crate) fn drop_in(path: &Path) -> Option<String> {
    let folder = path.parent().unwrap_or(path);
    let setting = if HIDDEN.iter().any(|hidden| path.starts_with(hidden)) {
        "ProtectHome=no".to_owned()
    } else if !path.starts_with(WRITABLE) && READ_ONLY.iter().any(|folder| path.starts_with(folder)) {
        format!("ReadWritePaths={}", folder.display())
    } else {
        return None;
    };
    Some(format!("add `{setting}` to the [Service] section with `systemctl edit {UNITS}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_remedy_is_a_drop_in_where_the_units_may_not_write() {
        for (path, expected) in [
            ("/etc/ssh/ssh_host_rsa_key", None),
            ("/etc/ssh/keys/own", None),
            ("/etc/keys/own", Some("`ReadWritePaths=/etc/keys`")),
            ("/usr/local/etc/own", Some("`ReadWritePaths=/usr/local/etc`")),
            ("/root/keys/own", Some("`ProtectHome=no`")),
            ("/home/x/own", Some("`ProtectHome=no`")),
            ("/var/lib/keys/own", None),
            ("/rootless/own", None),
        ] {
            let remedy = drop_in(Path::new(path));
            assert_eq!(remedy.is_some(), expected.is_some(), "{path}: {remedy:?}");
            assert!(remedy.unwrap_or_default().contains(expected.unwrap_or_default()), "{path}");
        }
    }
}

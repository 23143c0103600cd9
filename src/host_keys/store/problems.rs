//! What a person can do about a host key that is not as it should be. Pure.

use std::path::Path;

use crate::host_keys::sshd::effective::EffectiveHostKeys;
use crate::host_keys::store::apply::KeyChanges;
use crate::host_keys::store::error::HostKeyError;
use crate::host_keys::store::key_file::KeyFile;
use crate::host_keys::store::mounts::Obstacle;
use crate::host_keys::store::plan::{KeyPlan, Reason};
use crate::host_keys::store::served::KeyProblem;

/// The units in which the keys are made.
const UNITS: &str = "scw-agent-hostkeys.service scw-agent-hostkeys-settle.service";
/// What there is to do where the cause is gone, or not known.
const MAKE_AGAIN: &str =
    "see the journal of scw-agent-hostkeys.service; `scw-agent host-keys ensure` as root tries again";
/// What the units may write in spite of `ProtectSystem=full`.
const WRITABLE: &str = "/etc/ssh";
/// What they may not.
const READ_ONLY: [&str; 4] = ["/etc", "/usr", "/boot", "/efi"];
/// What they may not even see.
const HIDDEN: [&str; 3] = ["/home", "/root", "/run/user"];

/// The problems of the keys as they are after a pass, each with its plan; `ensured` has the errors of the pass itself.
pub(crate) fn problems(keys: &[KeyFile], plans: &[KeyPlan], ensured: &KeyChanges) -> Vec<KeyProblem> {
    let failed = ensured.failed.iter().map(|(path, error)| problem(path, error));
    let left = keys.iter().zip(plans).filter_map(|(key, plan)| {
        let is_told = ensured.failed.iter().any(|(path, _)| *path == key.path);
        match plan {
            _ if is_told => None,
            KeyPlan::LeaveAlone(Reason::HeldByAgent) => None,
            KeyPlan::LeaveAlone(reason) => Some(problem(&key.path, &HostKeyError::LeftAlone(reason.clone()))),
            KeyPlan::Make { .. } => Some(problem(&key.path, &HostKeyError::Missing)),
            _ => None,
        }
    });
    failed.chain(left).collect()
}

fn problem(path: &Path, error: &HostKeyError) -> KeyProblem {
    KeyProblem { what: format!("{}: {error}", path.display()), remedy: remedy(path, error) }
}

/// sshd cannot start: none of the files that it names holds a key that it can use.
pub(crate) fn no_usable_key(effective: &EffectiveHostKeys) -> KeyProblem {
    let files: Vec<_> = effective.files.iter().map(|path| path.display().to_string()).collect();
    let named = if files.is_empty() { "it names none".to_owned() } else { files.join(", ") };
    KeyProblem {
        what: format!("sshd has no host key that it can use ({named})"),
        remedy: "see the journal of scw-agent-hostkeys.service, and `sshd -t`".to_owned(),
    }
}

fn remedy(path: &Path, error: &HostKeyError) -> String {
    match error {
        HostKeyError::LeftAlone(Reason::Unseen(Obstacle::Hidden(_))) => drop_in(path).unwrap_or_default(),
        HostKeyError::LeftAlone(Reason::Unseen(Obstacle::NotMounted(folder))) => {
            format!("mount {} before sshd starts", folder.display())
        }
        HostKeyError::LeftAlone(Reason::UnknownType) => format!(
            "make it with `ssh-keygen -t ed25519 -N '' -f {}`, or remove its HostKey line from sshd's configuration",
            path.display()
        ),
        HostKeyError::LeftAlone(Reason::HeldByAgent) => {
            "replace the key in the agent: it is known to another Instance".to_owned()
        }
        HostKeyError::LeftAlone(Reason::Locked) => {
            format!("take the passphrase away with `ssh-keygen -p -f {}`", path.display())
        }
        HostKeyError::LeftAlone(Reason::PublicOnly) => {
            "let the HostKey line name the private key, or set HostKeyAgent".to_owned()
        }
        HostKeyError::Missing => drop_in(path).unwrap_or_else(|| MAKE_AGAIN.to_owned()),
        HostKeyError::File(_, why) if why.kind() == std::io::ErrorKind::ReadOnlyFilesystem => {
            drop_in(path).unwrap_or_else(|| "make the file system writable".to_owned())
        }
        _ => MAKE_AGAIN.to_owned(),
    }
}

/// The drop-in that lets the units make a key at `path`; `None` where they may do that as they are.
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
    fn h1_what_the_units_may_not_do_has_its_drop_in() {
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
            let said = drop_in(Path::new(path));
            assert_eq!(said.is_some(), expected.is_some(), "{path}: {said:?}");
            assert!(said.unwrap_or_default().contains(expected.unwrap_or_default()), "{path}");
        }
    }
}

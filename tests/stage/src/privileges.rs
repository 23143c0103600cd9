//! The privileges of the process, and the entry into a user namespace for users other than root.
//! This module must never acquire more privileges than the process has.

use std::fs;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use crate::error::{StageError, Step};

/// The user ids that a world has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privileges {
    /// All user ids. The daemon runs as its own user, and sshd runs as on an Instance.
    Root,
    /// Only one user id, shown as root. The daemon runs with this id, also with reduced capabilities. sshd runs as an ordinary user, on
    /// port 2222.
    UserNamespace,
}

impl Privileges {
    /// The privileges of the calling process.
    pub(crate) fn of_this_process() -> Result<Privileges, StageError> {
        if !can_make_namespaces()? {
            return Err(StageError::NotPrivileged);
        }
        let map = fs::read_to_string("/proc/self/uid_map").step("read the user id map")?;
        let mapped = |line: &str| line.split_whitespace().nth(2).and_then(|count| count.parse::<u64>().ok());
        let single = map.lines().count() == 1 && map.lines().all(|line| mapped(line) == Some(1));
        Ok(if single { Privileges::UserNamespace } else { Privileges::Root })
    }
}

/// Enters a user namespace, unless the process can already make worlds. In it, the user is root and no other id exists. Call this
/// at the beginning of `main`: the kernel refuses it to a process with several threads.
pub fn enter_user_namespace_if_needed() -> Result<(), StageError> {
    if can_make_namespaces()? {
        return Ok(());
    }
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).step("make a user namespace (run this as root instead)")?;
    // The kernel accepts a group map from a user other than root only after `setgroups` was denied.
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {uid} 1")),
        ("gid_map", format!("0 {gid} 1")),
    ] {
        fs::write(format!("/proc/self/{file}"), text).step(format!("write {file} of the user namespace"))?;
    }
    if can_make_namespaces()? { Ok(()) } else { Err(StageError::NotPrivileged) }
}

/// Whether CAP_NET_ADMIN (number 12 in capability.h) and CAP_SYS_ADMIN (21) are effective.
fn can_make_namespaces() -> Result<bool, StageError> {
    let status = fs::read_to_string("/proc/thread-self/status").step("read the process's capabilities")?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0);
    Ok(bits >> 12 & 1 == 1 && bits >> 21 & 1 == 1)
}

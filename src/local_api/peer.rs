//! Which user a client is, and what the user may do: root and the daemon's own user may do everything, the
//! members of the two configured groups what the configuration allows.
//!
//! The kernel reports the user id and the primary group of the client, which nobody can fake. It also reports
//! the further groups (SO_PEERGROUPS), but not to a program without `unsafe`. /proc is no source either: the
//! process may have become another program by then, one with more rights. So the user database decides
//! membership by the user id, as it does for D-Bus; a user who leaves a group loses the right at once.

use std::ffi::CString;
use std::time::Duration;

use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};
use tokio::net::unix::UCred;
use tokio::time::timeout;

use crate::settings::Settings;

/// The time limit of a lookup. A slower user database (an unreachable directory service) grants nothing.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Nothing at all.
    Nothing,
    /// Read the status, metadata and user data.
    Read,
    /// Also set and delete user data.
    Write,
}

/// The groups whose members have access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    read_group: Option<String>,
    write_group: Option<String>,
}

impl Groups {
    /// The groups that the settings name.
    pub fn of(settings: &Settings) -> Self {
        Self { read_group: settings.read_group.clone(), write_group: settings.write_group.clone() }
    }

    /// Whether anybody but root has access.
    pub(crate) fn grants_access(&self) -> bool {
        self.read_group.is_some() || self.write_group.is_some()
    }

    /// The text of a refusal: why, and what would help.
    pub(crate) fn refusal(&self, write: bool) -> String {
        let allowed = [self.read_group.as_ref().filter(|_| !write), self.write_group.as_ref()];
        let names: Vec<_> = allowed.into_iter().flatten().map(String::as_str).collect();
        let what = if write { "set or delete user data" } else { "use the agent's socket" };
        let setting = if write { "write-group" } else { "read-group" };
        match &names[..] {
            [] => format!(
                "only root may {what}; to allow a group, set `{setting}` in section [local-api] of /etc/scw-agent.toml"
            ),
            names => format!("only root and members of {} may {what}", names.join(" and ")),
        }
    }

    /// What the peer may do. The lookup takes as long as the user database does, up to a time limit.
    pub(crate) async fn right_of(&self, peer: UCred) -> Right {
        if is_trusted(peer) {
            return Right::Write;
        }
        if !self.grants_access() {
            return Right::Nothing;
        }
        let groups = self.clone();
        let lookup = tokio::task::spawn_blocking(move || groups.query_user_database(peer));
        match timeout(LOOKUP_TIMEOUT, lookup).await {
            Ok(Ok(Ok(right))) => right,
            Ok(Ok(Err(why))) => {
                tracing::warn!("cannot look up the groups of user id {}: {why}", peer.uid());
                Right::Nothing
            }
            // Not logged, because any user who can connect could fill the log.
            Ok(Err(_)) | Err(_) => Right::Nothing,
        }
    }

    fn query_user_database(&self, peer: UCred) -> nix::Result<Right> {
        let mut groups = vec![Gid::from_raw(peer.gid())];
        if let Some(user) = User::from_uid(Uid::from_raw(peer.uid()))? {
            let name = CString::new(user.name).map_err(|_| nix::errno::Errno::EINVAL)?;
            groups.extend(getgrouplist(&name, user.gid)?);
        }
        let is_in = |name: &Option<String>| -> nix::Result<bool> {
            let Some(name) = name else { return Ok(false) };
            Ok(Group::from_name(name)?.is_some_and(|group| groups.contains(&group.gid)))
        };
        if is_in(&self.write_group)? {
            return Ok(Right::Write);
        }
        Ok(if is_in(&self.read_group)? { Right::Read } else { Right::Nothing })
    }
}

/// Whether the peer is root or the daemon's own user.
pub(crate) fn is_trusted(peer: UCred) -> bool {
    peer.uid() == 0 || peer.uid() == geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_says_who_has_access() {
        let groups = |read_group: Option<&str>, write_group: Option<&str>| Groups {
            read_group: read_group.map(str::to_owned),
            write_group: write_group.map(str::to_owned),
        };
        for (groups, write, expected) in [
            (
                groups(None, None),
                false,
                "only root may use the agent's socket; to allow a group, set `read-group` in section [local-api] of /etc/scw-agent.toml",
            ),
            (
                groups(Some("adm"), None),
                true,
                "only root may set or delete user data; to allow a group, set `write-group` in section [local-api] of /etc/scw-agent.toml",
            ),
            (
                groups(Some("adm"), Some("ops")),
                false,
                "only root and members of adm and ops may use the agent's socket",
            ),
            (
                groups(Some("adm"), Some("ops")),
                true,
                "only root and members of ops may set or delete user data",
            ),
        ] {
            assert_eq!(groups.refusal(write), expected);
        }
    }
}

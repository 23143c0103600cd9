//! Who asks, and what they may: root and the daemon itself everything, the members of the two configured groups what the configuration says.
//!
//! The kernel tells the user id and the primary group of who connected, and nobody can say otherwise. It tells the further groups, too
//! (SO_PEERGROUPS), but not to a program without `unsafe`; and what /proc tells of a process may be another program by then, one with
//! more rights. So membership is what the user database says of that user id, as D-Bus has it: leaving a group counts at once.

use std::time::Duration;

use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};
use std::ffi::CString;
use tokio::net::unix::UCred;
use tokio::time::timeout;

use crate::settings::Settings;

/// A user database that is slower (a directory service out of reach) grants nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Not even to ask.
    Nothing,
    /// To ask: the status, metadata and user data.
    Read,
    /// Also to set and delete user data.
    Write,
}

/// The groups that are let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    readers: Option<String>,
    writers: Option<String>,
}

impl Groups {
    /// As configured.
    pub fn of(settings: &Settings) -> Self {
        Self { readers: settings.readers.clone(), writers: settings.writers.clone() }
    }

    /// Whether anybody but root is let in.
    pub(crate) fn any(&self) -> bool {
        self.readers.is_some() || self.writers.is_some()
    }

    /// Why somebody is refused, and what would help.
    pub(crate) fn refusal(&self, write: bool) -> String {
        let let_in = [self.readers.as_ref().filter(|_| !write), self.writers.as_ref()];
        let names: Vec<_> = let_in.into_iter().flatten().map(String::as_str).collect();
        let what = if write { "set or delete user data" } else { "ask the agent" };
        let setting = if write { "write-group" } else { "read-group" };
        match &names[..] {
            [] => format!(
                "only root may {what}; `{setting}` in section [local-api] of /etc/scw-agent.toml can name a group"
            ),
            names => format!("only root and members of {} may {what}", names.join(" and ")),
        }
    }

    /// What the peer may do. It may take as long as the user database does, within a bound.
    pub(crate) async fn right_of(&self, peer: UCred) -> Right {
        if is_trusted(peer) {
            return Right::Write;
        }
        if !self.any() {
            return Right::Nothing;
        }
        let groups = self.clone();
        let looked_up = tokio::task::spawn_blocking(move || groups.look_up(peer));
        match timeout(PATIENCE, looked_up).await {
            Ok(Ok(Ok(right))) => right,
            Ok(Ok(Err(why))) => {
                tracing::warn!("the groups of user id {} cannot be looked up: {why}", peer.uid());
                Right::Nothing
            }
            // Not logged: whoever may connect could fill the log.
            Ok(Err(_)) | Err(_) => Right::Nothing,
        }
    }

    fn look_up(&self, peer: UCred) -> nix::Result<Right> {
        let mut held = vec![Gid::from_raw(peer.gid())];
        if let Some(user) = User::from_uid(Uid::from_raw(peer.uid()))? {
            let name = CString::new(user.name).map_err(|_| nix::errno::Errno::EINVAL)?;
            held.extend(getgrouplist(&name, user.gid)?);
        }
        let is_in = |name: &Option<String>| -> nix::Result<bool> {
            let Some(name) = name else { return Ok(false) };
            Ok(Group::from_name(name)?.is_some_and(|group| held.contains(&group.gid)))
        };
        if is_in(&self.writers)? {
            return Ok(Right::Write);
        }
        Ok(if is_in(&self.readers)? { Right::Read } else { Right::Nothing })
    }
}

/// Root, and whoever is the daemon already.
pub(crate) fn is_trusted(peer: UCred) -> bool {
    peer.uid() == 0 || peer.uid() == geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_who_may() {
        let groups = |readers: Option<&str>, writers: Option<&str>| Groups {
            readers: readers.map(str::to_owned),
            writers: writers.map(str::to_owned),
        };
        for (groups, write, said) in [
            (
                groups(None, None),
                false,
                "only root may ask the agent; `read-group` in section [local-api] of /etc/scw-agent.toml can name a group",
            ),
            (
                groups(Some("adm"), None),
                true,
                "only root may set or delete user data; `write-group` in section [local-api] of /etc/scw-agent.toml can name a group",
            ),
            (
                groups(Some("adm"), Some("ops")),
                false,
                "only root and members of adm and ops may ask the agent",
            ),
            (
                groups(Some("adm"), Some("ops")),
                true,
                "only root and members of ops may set or delete user data",
            ),
        ] {
            assert_eq!(groups.refusal(write), said);
        }
    }
}

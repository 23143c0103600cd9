//! The limits on connections that are served at the same time. They keep one client from blocking others.
//!
//! Root has a limit of its own, and each other user a small one. One account can have many user ids (subuid(5)), so the users without rights
//! share a limit that is not the members'. The lookup of a user's groups, which comes before both, has one too: it is over in milliseconds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections of root and of the daemon's user; further ones wait in the kernel's queue.
const MAX_TRUSTED: usize = 64;
/// Connections whose user's groups are being looked up.
const MAX_LOOKUPS: usize = 32;
/// Connections of all members of the configured groups.
const MAX_MEMBERS: usize = 64;
/// Connections of users without rights, who only get a refusal.
const MAX_WITHOUT_RIGHTS: usize = 8;
/// Connections of one user that is not root, whatever the user's groups.
const MAX_PER_USER: usize = 8;

/// All connection limits. Clones share them.
#[derive(Clone)]
pub(crate) struct ConnectionLimits {
    pub(crate) trusted: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
    members: Arc<Semaphore>,
    without_rights: Arc<Semaphore>,
    users: Arc<Mutex<HashMap<u32, usize>>>,
}

/// One connection of a user; released when dropped.
pub(crate) struct UserConnection {
    users: Arc<Mutex<HashMap<u32, usize>>>,
    uid: u32,
}

impl ConnectionLimits {
    pub(crate) fn new() -> Self {
        let semaphore = |limit| Arc::new(Semaphore::new(limit));
        Self {
            trusted: semaphore(MAX_TRUSTED),
            lookups: semaphore(MAX_LOOKUPS),
            members: semaphore(MAX_MEMBERS),
            without_rights: semaphore(MAX_WITHOUT_RIGHTS),
            users: Arc::default(),
        }
    }

    /// Admits one connection of this user for the lookup of its groups, if the limits allow it.
    pub(crate) fn admit_to_lookup(&self, uid: u32) -> Option<(UserConnection, OwnedSemaphorePermit)> {
        let permit = self.lookups.clone().try_acquire_owned().ok()?;
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let count = users.entry(uid).or_default();
        if *count >= MAX_PER_USER {
            return None;
        }
        *count += 1;
        Some((UserConnection { users: self.users.clone(), uid }, permit))
    }

    /// Admits a connection after the lookup, if the limits allow it.
    pub(crate) fn admit(&self, is_member: bool) -> Option<OwnedSemaphorePermit> {
        let limit = if is_member { &self.members } else { &self.without_rights };
        limit.clone().try_acquire_owned().ok()
    }
}

impl Drop for UserConnection {
    fn drop(&mut self) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = users.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                users.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_a_connection_limit_of_its_own() {
        let limits = ConnectionLimits::new();
        let mut connections: Vec<_> =
            (0..MAX_PER_USER).map(|_| limits.admit_to_lookup(1000).expect("admitted").0).collect();
        assert!(limits.admit_to_lookup(1000).is_none());
        assert!(limits.admit_to_lookup(1001).is_some());
        connections.pop();
        assert!(limits.admit_to_lookup(1000).is_some());
        drop(connections);
        assert!(limits.users.lock().expect("unlocked").is_empty());
    }
}

//! The limits on connections that are served at the same time: root has a limit of its own, so that no other user can block it; the others
//! have one for each user, and one in all, which bounds file descriptors.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

/// Connections of root and of the daemon's user; further ones wait in the kernel's queue.
const MAX_TRUSTED: usize = 64;
/// Connections of one other user; further ones are closed.
const MAX_PER_USER: usize = 8;
/// Connections of all other users; further ones are closed.
const MAX_OTHERS: usize = 64;

/// All connection limits.
pub(crate) struct ConnectionLimits {
    pub(crate) trusted: Arc<Semaphore>,
    users: Arc<Mutex<HashMap<u32, usize>>>,
}

/// One connection of a user; released when dropped.
pub(crate) struct UserConnection {
    users: Arc<Mutex<HashMap<u32, usize>>>,
    uid: u32,
}

impl ConnectionLimits {
    pub(crate) fn new() -> Self {
        Self { trusted: Arc::new(Semaphore::new(MAX_TRUSTED)), users: Arc::default() }
    }

    /// Admits one connection of a user other than root, if the limits allow it.
    pub(crate) fn admit(&self, uid: u32) -> Option<UserConnection> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if users.values().sum::<usize>() >= MAX_OTHERS {
            return None;
        }
        let count = users.entry(uid).or_default();
        if *count >= MAX_PER_USER {
            return None;
        }
        *count += 1;
        Some(UserConnection { users: self.users.clone(), uid })
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
    fn d3_limits_hold_for_a_user_and_for_all() {
        let limits = ConnectionLimits::new();
        let mut held: Vec<_> = (0..MAX_PER_USER).map(|_| limits.admit(1000).expect("admitted")).collect();
        assert!(limits.admit(1000).is_none());
        assert!(limits.admit(1001).is_some());
        held.pop();
        held.push(limits.admit(1000).expect("one was released"));
        for uid in 1001.. {
            let Some(connection) = limits.admit(uid) else { break };
            held.push(connection);
        }
        assert_eq!(held.len(), MAX_OTHERS);
        drop(held);
        assert!(limits.users.lock().expect("unlocked").is_empty());
    }
}

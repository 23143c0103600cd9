//! How many may be served at once, so that no client takes another's place: root's queue is root's, each other user has a few places, and
//! strangers are turned away in a corner of their own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Of root; the next one waits in the kernel's queue.
const TRUSTED: usize = 64;
/// Whose groups are being looked up.
const AT_THE_DOOR: usize = 32;
/// Of all members of the configured groups.
const MEMBERS: usize = 64;
/// Who only hear that they may not ask.
const STRANGERS: usize = 8;
/// Of one user that is not root, whatever the groups.
const OF_ONE_USER: usize = 8;

/// All places. Clones share them.
#[derive(Clone)]
pub(crate) struct ConnectionLimits {
    pub(crate) trusted: Arc<Semaphore>,
    door: Arc<Semaphore>,
    members: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    users: Arc<Mutex<HashMap<u32, usize>>>,
}

/// A user's place; given back when dropped.
pub(crate) struct UserPlace {
    users: Arc<Mutex<HashMap<u32, usize>>>,
    uid: u32,
}

impl ConnectionLimits {
    pub(crate) fn new() -> Self {
        let semaphore = |places| Arc::new(Semaphore::new(places));
        Self {
            trusted: semaphore(TRUSTED),
            door: semaphore(AT_THE_DOOR),
            members: semaphore(MEMBERS),
            strangers: semaphore(STRANGERS),
            users: Arc::default(),
        }
    }

    /// A place at the door for one of this user's connections, if there is one.
    pub(crate) fn at_the_door(&self, uid: u32) -> Option<(UserPlace, OwnedSemaphorePermit)> {
        let door = self.door.clone().try_acquire_owned().ok()?;
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = users.entry(uid).or_default();
        if *taken >= OF_ONE_USER {
            return None;
        }
        *taken += 1;
        Some((UserPlace { users: self.users.clone(), uid }, door))
    }

    /// A place inside, if there is one.
    pub(crate) fn inside(&self, is_member: bool) -> Option<OwnedSemaphorePermit> {
        let places = if is_member { &self.members } else { &self.strangers };
        places.clone().try_acquire_owned().ok()
    }
}

impl Drop for UserPlace {
    fn drop(&mut self) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = users.get_mut(&self.uid) {
            *taken -= 1;
            if *taken == 0 {
                users.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_cannot_take_anothers_places_and_gets_its_own_back() {
        let places = ConnectionLimits::new();
        let mut held: Vec<_> =
            (0..OF_ONE_USER).map(|_| places.at_the_door(1000).expect("a place").0).collect();
        assert!(places.at_the_door(1000).is_none());
        assert!(places.at_the_door(1001).is_some());
        held.pop();
        assert!(places.at_the_door(1000).is_some());
        drop(held);
        assert!(places.users.lock().expect("unlocked").is_empty());
    }
}

//! Randomness for source ports and jitter. Not for secrets: those are `ssh-keygen`'s business.

use std::hash::{BuildHasher, RandomState};

/// A generator seeded by the operating system. (fastrand's own seed is made of time and thread, which
/// ten thousand Instances started from one snapshot may share.)
pub(crate) fn generator() -> fastrand::Rng {
    fastrand::Rng::with_seed(RandomState::new().hash_one(std::process::id()))
}

//! Random numbers for source ports and jitter. They are not for secrets: `ssh-keygen` generates those itself.

use std::hash::{BuildHasher, RandomState};

/// A generator with a seed from the operating system. (fastrand's own seed depends on time and thread, which may be equal on many
/// Instances that were started from one snapshot.)
pub(crate) fn generator() -> fastrand::Rng {
    fastrand::Rng::with_seed(RandomState::new().hash_one(std::process::id()))
}

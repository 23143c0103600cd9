//! The states in the document, each an object with the name of the state and what belongs to it. Pure.

use serde::{Deserialize, Serialize};

use crate::metadata::family::Family;
use crate::system::platform::{NotAnInstance, PlatformProof};
use crate::util::tagged::{NotAState, Tagged};
use crate::util::time::Moment;

/// Whether the metadata service is trusted here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", try_from = "Tagged")]
pub enum Platform {
    /// This is a Scaleway Instance, or the configuration says that it counts as one.
    #[default]
    Instance,
    /// It is not. This is a normal state.
    NotAnInstance {
        /// What was found instead.
        why: String,
    },
}

impl From<Result<PlatformProof, NotAnInstance>> for Platform {
    fn from(checked: Result<PlatformProof, NotAnInstance>) -> Self {
        match checked {
            Ok(_) => Self::Instance,
            Err(why) => Self::NotAnInstance { why: why.to_string() },
        }
    }
}

impl TryFrom<Tagged> for Platform {
    type Error = NotAState;

    fn try_from(tagged: Tagged) -> Result<Self, NotAState> {
        match (&*tagged.state, tagged.why) {
            ("instance", _) => Ok(Self::Instance),
            ("not-an-instance", Some(why)) => Ok(Self::NotAnInstance { why }),
            _ => Err(NotAState),
        }
    }
}

/// Whether the metadata service answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", try_from = "Tagged")]
pub enum Reach {
    /// Nothing was tried yet.
    Unknown,
    /// It answers.
    Reachable {
        /// Over this family.
        family: Option<Family>,
        /// Since then.
        since: Moment,
    },
    /// It does not.
    Unreachable {
        /// Since then.
        since: Moment,
        /// In the words of the first failure.
        why: String,
    },
}

impl TryFrom<Tagged> for Reach {
    type Error = NotAState;

    fn try_from(tagged: Tagged) -> Result<Self, NotAState> {
        match (&*tagged.state, tagged.since, tagged.why) {
            ("unknown", ..) => Ok(Self::Unknown),
            ("reachable", Some(since), _) => Ok(Self::Reachable { family: tagged.family, since }),
            ("unreachable", Some(since), Some(why)) => Ok(Self::Unreachable { since, why }),
            _ => Err(NotAState),
        }
    }
}

/// Whether the fingerprints are published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", try_from = "Tagged")]
pub enum Fingerprints {
    /// Not yet.
    Waiting,
    /// The machine has no host key to tell.
    NoKeys,
    /// The service holds them, and they are those of the keys at hand.
    Published {
        /// When this was last seen to be so.
        checked: Moment,
    },
    /// They could not be published.
    Failed {
        /// Since then.
        since: Moment,
        /// The latest failure.
        why: String,
    },
}

impl TryFrom<Tagged> for Fingerprints {
    type Error = NotAState;

    fn try_from(tagged: Tagged) -> Result<Self, NotAState> {
        match (&*tagged.state, tagged.checked, tagged.since, tagged.why) {
            ("waiting", ..) => Ok(Self::Waiting),
            ("no-keys", ..) => Ok(Self::NoKeys),
            ("published", Some(checked), ..) => Ok(Self::Published { checked }),
            ("failed", _, Some(since), Some(why)) => Ok(Self::Failed { since, why }),
            _ => Err(NotAState),
        }
    }
}

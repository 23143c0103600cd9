//! The states in the document. In JSON each is an object with the name of the state and the fields that
//! belong to it. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::metadata::family::Family;
use crate::system::platform::{NotAnInstance, PlatformProof};
use crate::util::state_json::{InvalidState, StateFields};
use crate::util::time::Moment;

/// Whether the metadata service is trusted on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", try_from = "StateFields")]
pub enum Platform {
    /// This is a Scaleway Instance, or the configuration says to treat it as one.
    #[default]
    Instance,
    /// It is no Scaleway Instance. This is a normal state.
    NotAnInstance {
        /// The reason, as a text for a person.
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

impl TryFrom<StateFields> for Platform {
    type Error = InvalidState;

    fn try_from(tagged: StateFields) -> Result<Self, InvalidState> {
        match (&*tagged.state, tagged.why) {
            ("instance", _) => Ok(Self::Instance),
            ("not-an-instance", Some(why)) => Ok(Self::NotAnInstance { why }),
            _ => Err(InvalidState),
        }
    }
}

/// Whether the metadata service answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", try_from = "StateFields")]
pub enum Reachability {
    /// No request was sent yet.
    Unknown,
    /// It answers.
    Reachable {
        /// The address family of the connection.
        family: Option<Family>,
        /// Since then.
        since: Moment,
    },
    /// It does not answer.
    Unreachable {
        /// Since then.
        since: Moment,
        /// The text of the first failure.
        why: String,
    },
}

impl TryFrom<StateFields> for Reachability {
    type Error = InvalidState;

    fn try_from(tagged: StateFields) -> Result<Self, InvalidState> {
        match (&*tagged.state, tagged.since, tagged.why) {
            ("unknown", ..) => Ok(Self::Unknown),
            ("reachable", Some(since), _) => {
                let family = tagged.family.as_deref().map(|name| Family::from_name(name).ok_or(InvalidState));
                Ok(Self::Reachable { family: family.transpose()?, since })
            }
            ("unreachable", Some(since), Some(why)) => Ok(Self::Unreachable { since, why }),
            _ => Err(InvalidState),
        }
    }
}

/// The daemon reads the published value for documents at most once in this time. Its own checks do not count.
pub(crate) const CHECK_DISTANCE: Duration = Duration::from_secs(5);

/// Whether the fingerprints are published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", try_from = "StateFields")]
pub enum Fingerprints {
    /// Not published yet.
    Waiting,
    /// The machine has no host key to publish.
    NoKeys,
    /// They are published and match the machine's host keys.
    Published {
        /// When this was last verified.
        checked: Moment,
    },
    /// They were published when this was last checked, but it could not be checked for this document.
    NotChecked {
        /// When this was last verified.
        checked: Moment,
        /// How long ago that was when the document was made, in milliseconds.
        age_ms: u64,
        /// Why it could not be checked now.
        why: String,
    },
    /// They could not be published.
    Failed {
        /// Since then.
        since: Moment,
        /// The text of the latest failure.
        why: String,
    },
}

impl TryFrom<StateFields> for Fingerprints {
    type Error = InvalidState;

    fn try_from(tagged: StateFields) -> Result<Self, InvalidState> {
        match (&*tagged.state, tagged.checked, tagged.since, tagged.why) {
            ("waiting", ..) => Ok(Self::Waiting),
            ("no-keys", ..) => Ok(Self::NoKeys),
            ("published", Some(checked), ..) => Ok(Self::Published { checked }),
            ("not-checked", Some(checked), _, Some(why)) => {
                Ok(Self::NotChecked { checked, age_ms: tagged.age_ms.ok_or(InvalidState)?, why })
            }
            ("failed", _, Some(since), Some(why)) => Ok(Self::Failed { since, why }),
            _ => Err(InvalidState),
        }
    }
}

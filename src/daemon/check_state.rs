//! The state of the checks of the published value: what was read when, what is requested, and when that may be made (invariant H4). Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::host_keys::published_value::Published;
use crate::status::states::CHECK_DISTANCE;

/// How long a request for the status waits for the check.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// What is known and requested.
#[derive(Debug, Default)]
pub(crate) struct CheckState {
    /// The value that should be published, once that is known.
    pub(crate) right_value: Option<Published>,
    /// When the last request was sent that found the right value.
    pub(crate) found_right: Option<Instant>,
    /// When the round in progress began.
    pub(crate) round_began: Option<Instant>,
    /// When the last complete round began.
    pub(crate) complete_round_began: Option<Instant>,
    /// Why the last round could not check the value, and when it will be checked again.
    pub(crate) failure: Option<String>,
    /// A status document waits for a check.
    pub(crate) is_requested: bool,
    /// The round in progress makes a check that a document requested.
    pub(crate) serves_request: bool,
    /// An answer to another program contradicts what is known.
    pub(crate) is_contradicted: bool,
    /// When a requested check may be made.
    pub(crate) request_allowed: Option<Instant>,
    /// When a check after a contradiction may be made.
    pub(crate) contradiction_allowed: Option<Instant>,
}

impl CheckState {
    /// When the check that is requested may be made; `None` if none is requested. Without a limit, it is the time of the request or earlier.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        let of = |is_wanted: bool, allowed: Option<Instant>| is_wanted.then(|| allowed.unwrap_or(now));
        let requested = of(self.is_requested, self.request_allowed);
        let contradicted = of(self.is_contradicted, self.contradiction_allowed);
        requested.into_iter().chain(contradicted).min()
    }

    /// Whether a check has been made that was not begun before this time.
    pub(crate) fn is_checked_since(&self, time: Instant) -> bool {
        [self.found_right, self.complete_round_began].into_iter().flatten().any(|checked| checked >= time)
    }

    /// Why a document has no check, which was `requested` then.
    pub(crate) fn why_not_checked(&self, requested: Option<Instant>) -> String {
        let is_too_early =
            |requested: Instant| self.request_allowed.is_some_and(|allowed| allowed > requested + PATIENCE);
        match (&self.failure, requested) {
            (Some(why), _) => why.clone(),
            (None, None) => "no check was requested".to_owned(),
            (None, Some(requested)) if is_too_early(requested) => {
                format!("another question caused a check less than {} s ago", CHECK_DISTANCE.as_secs())
            }
            (None, Some(_)) => {
                format!("the metadata service did not answer within {} s", PATIENCE.as_secs())
            }
        }
    }
}

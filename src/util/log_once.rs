//! A problem that lasts is logged once (invariant T5).

use std::sync::{Mutex, PoisonError};

/// The state of one problem. It is logged when it begins and when it changes, and not each time that it is detected (invariant T5).
#[derive(Debug, Default)]
pub(crate) struct LogOnce(Mutex<Option<String>>);

impl LogOnce {
    /// Sets the present problem, or `None` if there is none. Logs a new one as an error.
    pub(crate) fn error(&self, now: Option<String>) {
        if let Some(text) = self.set(now) {
            tracing::error!("{text}");
        }
    }

    /// The same, as a warning: for a problem that will probably end without any action.
    pub(crate) fn warn(&self, now: Option<String>) {
        if let Some(text) = self.set(now) {
            tracing::warn!("{text}");
        }
    }

    /// Sets the present problem. Returns it if it is new.
    fn set(&self, now: Option<String>) -> Option<String> {
        let mut before = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = now.clone().filter(|_| *before != now);
        *before = now;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t5_lasting_problem_is_logged_once() {
        let once = LogOnce::default();
        let text = |text: &str| Some(text.to_owned());
        for (now, logged) in [
            (None, None),
            (text("full"), text("full")),
            (text("full"), None),
            (text("read-only"), text("read-only")),
            (None, None),
            (text("read-only"), text("read-only")),
        ] {
            assert_eq!(once.set(now), logged);
        }
    }
}

//! What is wrong for a while, logged once (T5).

use std::sync::{Mutex, PoisonError};

/// Something that is wrong for as long as it lasts: logged when it begins and when it becomes another thing, and not each time that it is seen
/// (T5).
#[derive(Debug, Default)]
pub(crate) struct LogOnce(Mutex<Option<String>>);

impl LogOnce {
    /// What is wrong now; none where nothing is.
    pub(crate) fn error(&self, now: Option<String>) {
        if let Some(text) = self.change(now) {
            tracing::error!("{text}");
        }
    }

    /// The same for what passes by itself, most likely.
    pub(crate) fn warn(&self, now: Option<String>) {
        if let Some(text) = self.change(now) {
            tracing::warn!("{text}");
        }
    }

    /// The text if it is news.
    fn change(&self, now: Option<String>) -> Option<String> {
        let mut before = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let news = now.clone().filter(|_| *before != now);
        *before = now;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t5_what_lasts_is_logged_once() {
        let once = LogOnce::default();
        let text = |text: &str| Some(text.to_owned());
        for (now, news) in [
            (None, None),
            (text("full"), text("full")),
            (text("full"), None),
            (text("read-only"), text("read-only")),
            (None, None),
            (text("read-only"), text("read-only")),
        ] {
            assert_eq!(once.change(now), news);
        }
    }
}

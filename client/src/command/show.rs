//! `show`: the fingerprints that an Instance published.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::arguments::Show;
use super::exit::Exit;
use super::look_up::{LookedUp, heading, look_up};
use super::{fail, print, say};
use crate::published::Published;
use crate::search::find::Found;
use crate::search::unknown::{Unknown, label};

/// Between two look-ups while it waits.
const INTERVAL: Duration = Duration::from_secs(3);

pub(super) fn run(options: &Show) -> Exit {
    let end = options.wait.map(|wait| Instant::now().checked_add(wait).unwrap_or_else(far_away));
    let mut is_told = false;
    loop {
        let (message, exit) = match look_up(&options.host) {
            Ok(LookedUp { found, .. }) => match &found.published {
                Some(published) => return print(text(&found, published, options.json).as_bytes()),
                None => (Unknown::NotPublished(label(&found.instance)).to_string(), Exit::Nothing),
            },
            Err(error) => (error.to_string(), Exit::from(&error)),
        };
        let is_waiting =
            matches!(exit, Exit::Nothing | Exit::Unreachable) && end.is_some_and(|end| Instant::now() < end);
        if !is_waiting {
            return fail(&message, exit);
        }
        if !is_told {
            say(&format!("{message}; waiting"));
            is_told = true;
        }
        let left = end.map_or(INTERVAL, |end| end.saturating_duration_since(Instant::now()));
        thread::sleep(left.min(INTERVAL));
    }
}

/// For a time that no clock can show.
fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(366 * 24 * 60 * 60)
}

/// A JSON document in ASCII, so that no name in it can control a terminal.
pub(super) fn document(value: &Value) -> String {
    let escape = |c: char| {
        let mut units = [0; 2];
        c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>()
    };
    let text = format!("{value:#}\n");
    let characters = text.chars().map(|c| match c {
        '\n' | ' '..='~' => c.to_string(),
        _ => escape(c),
    });
    characters.collect()
}

fn text(found: &Found, published: &Published, is_json: bool) -> String {
    if is_json {
        return document(&json!({"instance": instance(found), "published": entries(published)}));
    }
    let mut text = heading(found);
    for entry in published.entries() {
        text.push_str(&format!("  {:8} {}\n", entry.kind, entry.fingerprint));
    }
    text
}

/// The Instance in a JSON document.
pub(super) fn instance(found: &Found) -> Value {
    let one = &found.instance;
    json!({"id": one.id, "name": one.name, "zone": one.zone, "state": one.state, "addresses": one.addresses})
}

fn entries(published: &Published) -> Value {
    let entries = published.entries().iter();
    entries.map(|entry| json!({"type": entry.kind, "fingerprint": entry.fingerprint.to_string()})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_document_is_ascii() {
        let value = json!({"name": "a\u{9b}\u{202e}\u{1f600}\u{1b}"});
        let text = document(&value);
        assert!(text.is_ascii() && !text.contains('\u{1b}'), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(value));
    }
}

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
    let end = options.wait.map(|wait| Instant::now() + wait);
    let mut is_told = false;
    loop {
        let looked_up = look_up(&options.host);
        let exit = match &looked_up {
            Ok(LookedUp { found: Found { published: Some(published), instance }, .. }) => {
                let found = Found { instance: instance.clone(), published: Some(published.clone()) };
                return print(text(&found, published, options.json).as_bytes());
            }
            Ok(LookedUp { found, .. }) => {
                let unknown = Unknown::NotPublished(label(&found.instance));
                (unknown.to_string(), Exit::Nothing)
            }
            Err(error) => (error.to_string(), Exit::from(error)),
        };
        let is_waiting = matches!(exit.1, Exit::Nothing | Exit::Unreachable)
            && end.is_some_and(|end| Instant::now() < end);
        if !is_waiting {
            return fail(&exit.0, exit.1);
        }
        if !is_told {
            say(&format!("{}; waiting", exit.0));
            is_told = true;
        }
        let left = end.map_or(INTERVAL, |end| end.saturating_duration_since(Instant::now()));
        thread::sleep(left.min(INTERVAL));
    }
}

fn text(found: &Found, published: &Published, is_json: bool) -> String {
    if is_json {
        return format!("{:#}\n", json!({"instance": instance(found), "published": entries(published)}));
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

//! `verify`: the keys that a host offers beside those that the Instance published. It connects once for each type of key.

use serde_json::{Value, json};

use super::arguments::Verify;
use super::exit::Exit;
use super::look_up::{LookUpError, LookedUp, heading, look_up};
use super::show::{document, instance};
use super::{fail, print};
use crate::published::{Fingerprint, Published};
use crate::search::unknown::{Unknown, label};
use crate::ssh::programs;

pub(super) fn run(options: &Verify) -> Exit {
    match compare(&options.host) {
        Err(error) => fail(&error, (&error).into()),
        Ok((looked_up, rows)) => {
            let exit = print(text(&looked_up, &rows, options.json).as_bytes());
            let is_contradicted = rows.iter().any(|row| row.is_offered && !row.is_published);
            if is_contradicted {
                return fail(
                    &"an offered key is not among the published ones: do not connect",
                    Exit::Failure,
                );
            }
            exit
        }
    }
}

/// A key that is offered or published.
struct Row {
    kind: String,
    fingerprint: Fingerprint,
    is_offered: bool,
    is_published: bool,
}

fn compare(host: &str) -> Result<(LookedUp, Vec<Row>), LookUpError> {
    let looked_up = look_up(host)?;
    let not_published = || Unknown::NotPublished(label(&looked_up.found.instance));
    let published = looked_up.found.published.clone().ok_or_else(not_published)?;
    let (server, port) = &looked_up.server;
    let offered = programs::offered_keys(server, *port, &published)?;
    let mut rows: Vec<Row> = Vec::new();
    for key in offered {
        let fingerprint = key.fingerprint();
        let is_published = published.contains(&fingerprint);
        rows.push(Row { kind: key.short_kind(), fingerprint, is_offered: true, is_published });
    }
    rows.extend(not_offered(&published, &rows));
    Ok((looked_up, rows))
}

fn not_offered(published: &Published, rows: &[Row]) -> Vec<Row> {
    let is_missing = |fingerprint: &Fingerprint| rows.iter().all(|row| row.fingerprint != *fingerprint);
    let entries = published.entries().iter().filter(|entry| is_missing(&entry.fingerprint));
    let row = |entry: &crate::published::Entry| Row {
        kind: entry.kind.clone(),
        fingerprint: entry.fingerprint.clone(),
        is_offered: false,
        is_published: true,
    };
    entries.map(row).collect()
}

fn text(looked_up: &LookedUp, rows: &[Row], is_json: bool) -> String {
    if is_json {
        let row = |row: &Row| -> Value {
            json!({"type": row.kind, "fingerprint": row.fingerprint.to_string(), "offered": row.is_offered,
                "published": row.is_published})
        };
        let keys: Vec<_> = rows.iter().map(row).collect();
        let (host, port) = &looked_up.server;
        let instance = instance(&looked_up.found);
        return document(&json!({"instance": instance, "host": host, "port": port, "keys": keys}));
    }
    let mut text = heading(&looked_up.found);
    for row in rows {
        let comparison = match (row.is_offered, row.is_published) {
            (true, true) => "offered and published",
            (true, false) => "offered, NOT published",
            (false, _) => "published, not offered",
        };
        text.push_str(&format!("  {:8} {}  {comparison}\n", row.kind, row.fingerprint));
    }
    text
}

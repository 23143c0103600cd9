//! `write`: the keys that hosts offer and that are published, into a known_hosts file. Keys of all types, since some programs
//! take the first type of their own order and refuse if the file lacks it.

use std::path::Path;

use super::arguments::Write;
use super::exit::Exit;
use super::look_up::{LookUpError, LookedUp, look_up};
use super::{fail, print, say};
use crate::credentials::paths;
use crate::known_hosts::block::{Keys, NoEnd, keys_of, name_with_port, stale_lines, with_keys};
use crate::published::Published;
use crate::search::unknown::{Unknown, label};
use crate::ssh::host_key::HostKey;
use crate::ssh::programs;
use crate::util::files;
use crate::util::printable::printable;

/// The keys of a host's Instance, and what that published.
struct Verified {
    keys: Keys,
    published: Published,
    label: String,
}

pub(super) fn run(options: &Write) -> Exit {
    let file = options.file.clone().or_else(|| Some(paths::home()?.join(".ssh/known_hosts")));
    let Some(file) = file else { return fail(&"HOME is not set; use --file", Exit::Failure) };
    let (mut all, mut exit) = (Vec::new(), Exit::Success);
    for host in &options.hosts {
        match verified(host) {
            Ok(verified) => all.push(verified),
            Err((message, code)) => exit = fail(&message, code),
        }
    }
    if all.is_empty() {
        return exit;
    }
    if let Err(error) = write(&file, &mut all) {
        return fail(&format!("cannot write {}: {error}", file.display()), Exit::Failure);
    }
    let line = |Verified { keys, published, label }: &Verified| {
        let (written, published) = (keys.keys.len(), published.entries().len());
        format!("{label}: {written} of {published} published keys for {}\n", keys.names.join(", "))
    };
    match print(all.iter().map(line).collect::<String>().as_bytes()) {
        Exit::Success => exit,
        failed => failed,
    }
}

/// The keys that a host offers, all of which are published.
fn verified(host: &str) -> Result<Verified, (String, Exit)> {
    let failed = |error: LookUpError| (format!("{}: {error}", printable(host)), Exit::from(&error));
    let looked_up = look_up(host).map_err(failed)?;
    let label = label(&looked_up.found.instance);
    let not_published = || failed(Unknown::NotPublished(label.clone()).into());
    let published = looked_up.found.published.clone().ok_or_else(not_published)?;
    let (server, port) = &looked_up.server;
    let offered = programs::offered_keys(server, *port, &published).map_err(|error| failed(error.into()))?;
    if let Some(key) = offered.iter().find(|key| !published.contains(&key.fingerprint())) {
        let (kind, fingerprint) = (key.short_kind(), key.fingerprint());
        let message = format!(
            "the {kind} key of {label}, {fingerprint}, is not one that it published; nothing is written for it"
        );
        return Err((message, Exit::Failure));
    }
    let pairs = offered.iter().map(|key| (key.kind().to_owned(), key.base64())).collect();
    let id = looked_up.found.instance.id.to_string();
    Ok(Verified { keys: Keys { id, names: names(&looked_up), keys: pairs }, published, label })
}

/// All names under which a program may look the host up.
fn names(looked_up: &LookedUp) -> Vec<String> {
    let instance = &looked_up.found.instance;
    let (server, port) = &looked_up.server;
    let dns = format!("{}.pub.instances.scw.cloud", instance.id);
    let target = &looked_up.target;
    let addresses: Vec<_> = instance.addresses.iter().map(ToString::to_string).collect();
    let all = [&target.typed, &target.host, server]
        .into_iter()
        .chain(&target.alias)
        .chain(&addresses)
        .chain([&dns]);
    let mut names: Vec<String> = Vec::new();
    for name in all.filter_map(|name| name_with_port(name, *port)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Why the file was not written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    NoEnd(#[from] NoEnd),
}

fn write(file: &Path, all: &mut [Verified]) -> Result<(), WriteError> {
    let _lock = files::lock(file)?;
    let old = files::read(file)?.unwrap_or_default();
    for Verified { keys, published, .. } in all.iter_mut() {
        // A busy server does not answer for all types each time. A key that was written before stays while it is published.
        for (kind, text) in keys_of(&old, &keys.id) {
            let is_published = HostKey::parse(&text).is_ok_and(|key| published.contains(&key.fingerprint()));
            if is_published && keys.keys.iter().all(|(_, other)| *other != text) {
                keys.keys.push((kind, text));
            }
        }
        keys.keys.sort_unstable();
    }
    let new = with_keys(&old, all.iter().map(|verified| &verified.keys))?;
    if new != old {
        files::write(file, &new)?;
    }
    for verified in all.iter() {
        warn_of_stale_lines(file, &new, &verified.keys);
    }
    Ok(())
}

fn warn_of_stale_lines(file: &Path, content: &[u8], keys: &Keys) {
    for line in stale_lines(content, keys) {
        say(&format!(
            "{}: line {line} has another key for the same host; delete it if it is of an earlier machine",
            file.display()
        ));
    }
}

//! `write`: the keys that hosts offer and that are published, into a known_hosts file. Keys of all types, since some programs
//! take the first type of their own order and refuse if the file lacks it.

use std::net::IpAddr;
use std::path::Path;

use super::arguments::Write;
use super::exit::Exit;
use super::look_up::{LookUpError, LookedUp, look_up};
use super::{fail, print, say};
use crate::credentials::paths;
use crate::known_hosts::block::{Keys, NoEnd, keys_of, name_with_port, names_of, stale_lines, with_keys};
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
    let mut all = merged(all);
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

/// One entry for each Instance, also if several names or ports of it were given.
fn merged(all: Vec<Verified>) -> Vec<Verified> {
    let mut merged: Vec<Verified> = Vec::new();
    for one in all {
        match merged.iter_mut().find(|other| other.keys.id == one.keys.id) {
            None => merged.push(one),
            Some(other) => {
                add_new(&mut other.keys.names, one.keys.names);
                add_new(&mut other.keys.keys, one.keys.keys);
            }
        }
    }
    merged
}

fn add_new<T: PartialEq>(list: &mut Vec<T>, more: Vec<T>) {
    for one in more {
        if !list.contains(&one) {
            list.push(one);
        }
    }
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
    let mut names = Vec::new();
    add_new(&mut names, all.filter_map(|name| name_with_port(name, *port)).collect());
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
            if HostKey::parse(&text).is_ok_and(|key| published.contains(&key.fingerprint())) {
                add_new(&mut keys.keys, vec![(kind, text)]);
            }
        }
        // An old address may be another machine's now.
        let is_name = |name: &String| !is_address(name);
        add_new(&mut keys.names, names_of(&old, &keys.id).into_iter().filter(is_name).collect());
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

/// Whether a name of known_hosts is an address, also with a port.
fn is_address(name: &str) -> bool {
    let without_port = name.strip_prefix('[').and_then(|rest| rest.rsplit_once("]:"));
    without_port.map_or(name, |(host, _)| host).parse::<IpAddr>().is_ok()
}

fn warn_of_stale_lines(file: &Path, content: &[u8], keys: &Keys) {
    for line in stale_lines(content, keys) {
        say(&format!(
            "{}: line {line} has another key for the same host; delete it if it is of an earlier machine",
            file.display()
        ));
    }
}

//! `check`: the answer to ssh. Standard output has the wanted line or nothing; standard error is the user's terminal.
//!
//! A contradiction ends with a non-zero status, the only answer that refuses under every `StrictHostKeyChecking` (invariant
//! C1). A host that is no candidate gets nothing and 0, without the network (C2). "Cannot tell" is said in one line (C3).

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use super::arguments::{Check, Policy};
use super::exit::Exit;
use super::{fail, print, say};
use crate::api::error::ApiError;
use crate::credentials::load::credentials;
use crate::instances::list::InstanceList;
use crate::instances::store;
use crate::search::find::{Findings, Found, Search};
use crate::search::unknown::{Unknown, label};
use crate::search::wanted::is_candidate;
use crate::ssh::call::{Call, Invocation, Target, normal};
use crate::ssh::host_key::{HostKey, KeyError};
use crate::ssh::pattern::matches;
use crate::util::deadline::Deadline;
use crate::util::printable::printable;
use crate::verdict::{Verdict, verdict};

/// A connection waits this long at most for the check of its key. ssh has no limit of its own, and the server has one of two minutes.
const LIMIT: Duration = Duration::from_millis(3300);

/// The same for the second check, of the address. Both together, with what follows, stay below 5 s.
const ADDRESS_LIMIT: Duration = Duration::from_millis(1000);

/// After the limit, for what has no limit of its own.
const GRACE: Duration = Duration::from_millis(200);

/// For the local list, after the answer.
const STORE_LIMIT: Duration = Duration::from_millis(200);

pub(super) fn run(options: &Check) -> Exit {
    let call = match Call::parse(&options.tokens) {
        Ok(call) => call,
        Err(error) => return fail(&error, Exit::Usage),
    };
    if call.invocation == Invocation::Order {
        return Exit::Success;
    }
    let is_declared = is_declared(&options.declared, &call.target);
    let list = if is_declared { store::read() } else { store::read_if_it_names(&call.target.names()) };
    let is_candidate = is_declared || is_candidate(&call.target, &list);
    if !is_candidate && !options.all_hosts {
        return Exit::Success;
    }
    let (answer, change) = in_time(call.clone(), list);
    let exit = match answer {
        Ok(Answer::Line(line)) => print(line.as_bytes()),
        Ok(Answer::Refused(message)) => fail(&message, Exit::Failure),
        Err(Unknown::NoInstance(_) | Unknown::NotResolved) if !is_candidate => Exit::Success,
        Err(unknown) => {
            let is_refused = is_declared || (is_candidate && options.unknown == Policy::Refuse);
            let host = printable(&call.target.typed);
            let then = if is_refused { "refused" } else { "ssh decides alone" };
            say(&format!("cannot check the host key of {host}: {unknown}; {then}"));
            if is_refused { Exit::from(&unknown) } else { Exit::Success }
        }
    };
    // The list is only a hint, so a failure is none of the check, and ssh does not wait for another run's lock, or for a slow disk.
    if let Some(change) = change {
        let (sender, receiver) = channel::<()>();
        let run = move || {
            drop(store::change(change));
            drop(sender);
        };
        if thread::Builder::new().spawn(run).is_ok() {
            let _ = receiver.recv_timeout(STORE_LIMIT);
        }
    }
    exit
}

/// Whether a pattern matches the host, or what was typed.
pub(super) fn is_declared(patterns: &[String], target: &Target) -> bool {
    let is_match = |pattern: String| matches(&pattern, &target.host) || matches(&pattern, &target.typed);
    patterns.iter().map(|pattern| normal(pattern)).any(is_match)
}

/// A change of the local list.
type Change = Box<dyn FnOnce(&mut InstanceList) + Send>;

/// The answer within the limit, whatever hangs: a resolver, a home folder on the network.
fn in_time(call: Call, list: InstanceList) -> (Result<Answer, Unknown>, Option<Change>) {
    let limit = if call.invocation == Invocation::Address { ADDRESS_LIMIT } else { LIMIT };
    let (sender, receiver) = channel();
    let run = move || drop(sender.send(answer(&call, list, Deadline::after(limit))));
    if thread::Builder::new().spawn(run).is_err() {
        return (Err(ApiError::Unreachable("no thread can be started".to_owned()).into()), None);
    }
    receiver.recv_timeout(limit + GRACE).unwrap_or((Err(ApiError::Timeout.into()), None))
}

enum Answer {
    /// The line that has ssh trust the key.
    Line(String),
    /// Why the key is refused.
    Refused(String),
}

/// The answer, and how the list changes by what was seen. A key that cannot be used is looked up as well: an attacker chooses it.
fn answer(call: &Call, list: InstanceList, deadline: Deadline) -> (Result<Answer, Unknown>, Option<Change>) {
    let credentials = match credentials() {
        Ok(credentials) => credentials,
        Err(error) => return (Err(error.into()), None),
    };
    let search = Search::new(&credentials, list, deadline);
    let findings = search.find(&call.target);
    let found = findings.as_ref().map(|findings| findings.found.as_slice()).unwrap_or_default();
    let change = change(credentials.account, &search.list, found);
    (findings.and_then(|findings| compare(call, findings)), change)
}

fn compare(call: &Call, findings: Findings) -> Result<Answer, Unknown> {
    let key = call.host_key();
    match verdict(&findings.found, key.as_ref().ok().map(HostKey::fingerprint).as_ref()) {
        Some(Verdict::Contradicted(one)) => Ok(Answer::Refused(refusal(call, key.as_ref(), one))),
        Some(Verdict::Published(_)) => {
            let line = call.line(&key?).ok_or(Unknown::NoName)?;
            findings.doubt.map_or(Ok(Answer::Line(line)), Err)
        }
        Some(Verdict::NotPublished(one)) => {
            Err(findings.doubt.unwrap_or(Unknown::NotPublished(label(&one.instance))))
        }
        None => Err(findings.doubt.unwrap_or(Unknown::NotResolved)),
    }
}

/// The message for a key that is not published.
fn refusal(call: &Call, key: Result<&HostKey, &KeyError>, found: &Found) -> String {
    let host = printable(&call.target.typed);
    let published = found.published.as_ref().map(|published| published.list()).unwrap_or_default();
    let offered = match key {
        Ok(key) => format!("the {} key of {host}, {},", key.short_kind(), key.fingerprint()),
        Err(error) => format!("{error}, so it"),
    };
    format!(
        "refused: {offered} is not one that {} published ({published}). Someone may be intercepting this \
         connection. If the keys of the Instance were just replaced, try again in a minute; otherwise do not connect, \
         and run `scw-known-hosts verify {host}`",
        label(&found.instance),
    )
}

/// How the list changes by what was seen, if it does. Nothing is removed from it here: with another account, an address
/// that is not found would be unchecked from then on.
fn change(account: String, list: &InstanceList, found: &[Found]) -> Option<Change> {
    let is_known =
        |one: &Found| list.with_id(&one.instance.id).is_some_and(|known| known.is_same(&one.instance));
    if found.iter().all(is_known) {
        return None;
    }
    let seen: Vec<_> = found.iter().map(|one| one.instance.clone()).collect();
    Some(Box::new(move |list: &mut InstanceList| seen.iter().for_each(|one| list.put(&account, one))))
}

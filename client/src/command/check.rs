//! `check`: the answer to ssh. Standard output has the wanted line or nothing; standard error is the user's terminal.
//!
//! A contradiction ends with a non-zero status, the only answer that refuses under every `StrictHostKeyChecking` (invariant
//! C1). A host that is no candidate gets nothing and 0, without the network (C2). "Cannot tell" is said in one line (C3).

use std::time::Duration;

use super::arguments::{Check, Policy};
use super::exit::Exit;
use super::{fail, print, say};
use crate::credentials::load::credentials;
use crate::instances::list::InstanceList;
use crate::instances::store;
use crate::search::find::{Found, Search};
use crate::search::unknown::{Unknown, label};
use crate::search::wanted::{Wanted, is_candidate};
use crate::ssh::call::{Call, Invocation};
use crate::ssh::host_key::HostKey;
use crate::util::deadline::Deadline;
use crate::util::printable::printable;
use crate::verdict::{Verdict, verdict};

/// A connection waits this long at most. ssh has no limit of its own, and the server has one of two minutes.
const LIMIT: Duration = Duration::from_millis(4500);

pub(super) fn run(options: &Check) -> Exit {
    let call = match Call::parse(&options.tokens) {
        Ok(call) => call,
        Err(error) => return fail(&error, Exit::Usage),
    };
    if call.invocation == Invocation::Order {
        return Exit::Success;
    }
    let list = store::read();
    let is_candidate = options.declared || is_candidate(&call.target, &list);
    if !is_candidate && !options.all_hosts {
        return Exit::Success;
    }
    match answer(&call, list) {
        Ok(Answer::Line(line)) => print(line.as_bytes()),
        Ok(Answer::Refused(message)) => fail(&message, Exit::Failure),
        Err(Unknown::NoInstance(_) | Unknown::NotResolved) if !is_candidate => Exit::Success,
        Err(unknown) => {
            let is_refused = options.declared || options.unknown == Policy::Refuse;
            let host = printable(&call.target.typed);
            let then = if is_refused { "refused" } else { "ssh decides alone" };
            say(&format!("cannot check the host key of {host}: {unknown}; {then}"));
            if is_refused { Exit::from(&unknown) } else { Exit::Success }
        }
    }
}

enum Answer {
    /// The line that has ssh trust the key.
    Line(String),
    /// Why the key is refused.
    Refused(String),
}

fn answer(call: &Call, list: InstanceList) -> Result<Answer, Unknown> {
    let key = call.host_key()?;
    let credentials = credentials()?;
    let search = Search::new(&credentials, list, Deadline::after(LIMIT));
    let found = search.find(&call.target);
    remember(&credentials.account, &search.list, &Wanted::of(&call.target), &found);
    let found = found?;
    match verdict(&found, &key.fingerprint()) {
        Some(Verdict::Published(_)) => call.line(&key).map(Answer::Line).ok_or(Unknown::NoName),
        Some(Verdict::Contradicted(one)) => Ok(Answer::Refused(refusal(call, &key, one))),
        Some(Verdict::NotPublished(one)) => Err(Unknown::NotPublished(label(&one.instance))),
        None => Err(Unknown::NotResolved),
    }
}

/// The message for a key that is not published.
fn refusal(call: &Call, key: &HostKey, found: &Found) -> String {
    let host = printable(&call.target.typed);
    let published = found.published.as_ref().map(|published| published.list()).unwrap_or_default();
    format!(
        "refused: the {} key of {host}, {}, is not one that {} published ({published}). Someone may be intercepting this \
         connection. If the keys of the Instance were just replaced, try again in a minute; otherwise do not connect, \
         and run `scw-known-hosts verify {host}`",
        key.short_kind(),
        key.fingerprint(),
        label(&found.instance),
    )
}

/// Keeps the local list current. It is only a hint, so a failure is none of the check.
fn remember(account: &str, list: &InstanceList, wanted: &Wanted, found: &Result<Vec<Found>, Unknown>) {
    let changed = match found {
        Ok(found) => {
            let is_known = |one: &Found| {
                list.with_id(&one.instance.id).is_some_and(|known| known.is_same(&one.instance))
            };
            if found.iter().all(is_known) {
                return;
            }
            store::change(|list| found.iter().for_each(|one| list.put(account, &one.instance)))
        }
        Err(Unknown::NoInstance(_)) => store::change(|list| match wanted {
            Wanted::Id(id) => list.forget_id(account, id),
            Wanted::Address(address) => list.forget_address(account, *address),
            Wanted::Name(_) => {}
        }),
        Err(_) => return,
    };
    drop(changed);
}

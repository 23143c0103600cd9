//! The state that the server's tasks and the handle share. One lock protects it, which is never held across an `await`. Only the methods
//! in this module take the lock.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::record::{Closed, Connection, How, Request, Side};
use crate::faults::{Book, Seen, Verdict};
use crate::http::{Answer, Incoming};
use crate::metadata_api::{self, Call};
use crate::options::Dialect;
use crate::platform::Platform;
use crate::public_api;

/// The state that all parts of the server share.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Signalled on each change of the requests.
    changed: Condvar,
    started: Instant,
    dialect: Dialect,
    pub(crate) keep_alive: Duration,
}

#[derive(Debug)]
struct State {
    platform: Platform,
    book: Book,
    requests: Vec<Request>,
    /// The number of cleared requests, which is the number of `requests[0]`.
    cleared: u64,
    connections: Vec<Connection>,
    record: Option<File>,
}

impl Shared {
    pub(crate) fn new(
        platform: Platform,
        book: Book,
        record: Option<File>,
        dialect: Dialect,
        keep_alive: Duration,
    ) -> Shared {
        let (requests, connections) = (Vec::new(), Vec::new());
        let state = State { platform, book, requests, cleared: 0, connections, record };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Shared { state, changed, started: Instant::now(), dialect, keep_alive }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads or changes the data behind both APIs.
    pub(crate) fn platform<T>(&self, f: impl FnOnce(&mut Platform) -> T) -> T {
        f(&mut self.lock().platform)
    }

    /// Replaces the orders in force.
    pub(crate) fn set_book(&self, book: Book) {
        self.lock().book = book;
    }

    pub(crate) fn refuses(&self, local: SocketAddr) -> bool {
        self.lock().book.refuses(local)
    }

    /// Records a new connection; returns its number, and the decision about it.
    pub(crate) fn record_connection(&self, peer: SocketAddr, local: SocketAddr) -> (u64, Verdict) {
        let mut state = self.lock();
        let verdict = state.book.judge(Seen { local, request: None });
        let id = state.connections.len() as u64 + 1;
        let (at, fault) = (self.started.elapsed(), verdict.name.clone());
        let connection = Connection { id, at, peer, local, requests: 0, closed: None, fault, error: None };
        state.connections.push(connection);
        (id, verdict)
    }

    /// Changes the record of a connection.
    fn note(&self, id: u64, f: impl FnOnce(&mut Connection)) {
        let index = usize::try_from(id - 1).unwrap_or(usize::MAX);
        if let Some(connection) = self.lock().connections.get_mut(index) {
            f(connection);
        }
    }

    /// Records which side closed a connection. Only the first call has an effect.
    pub(crate) fn closed(&self, id: u64, by: Side, how: How) {
        let at = self.started.elapsed();
        self.note(id, |connection| {
            connection.closed.get_or_insert(Closed { at, by, how });
        });
    }

    /// Records that the client sent an incomplete or invalid request.
    pub(crate) fn record_error(&self, id: u64, error: &str) {
        self.note(id, |connection| connection.error = Some(error.to_owned()));
    }

    /// Records a request; returns its number, and the decision about it.
    pub(crate) fn record_request(
        &self,
        id: u64,
        peer: SocketAddr,
        local: SocketAddr,
        request: &Incoming,
    ) -> (u64, Verdict) {
        self.note(id, |connection| connection.requests += 1);
        let mut state = self.lock();
        let verdict = state.book.judge(Seen { local, request: Some((&request.method, &request.target)) });
        let number = state.cleared + state.requests.len() as u64;
        state.requests.push(Request {
            at: self.started.elapsed(),
            connection: id,
            peer,
            local,
            method: request.method.clone(),
            target: request.target.clone(),
            headers: request.headers.clone(),
            body: request.body.clone(),
            status: None,
            fault: verdict.name.clone(),
        });
        drop(state);
        self.changed.notify_all();
        (number, verdict)
    }

    /// Records the status of the answer (or that there will be none), and writes the request to the record file. This happens before the
    /// first byte is sent, so that the record is complete when a client has the answer.
    pub(crate) fn record_status(&self, number: u64, status: Option<u16>) {
        let mut state = self.lock();
        let State { requests, cleared, record, .. } = &mut *state;
        let index = number.checked_sub(*cleared).and_then(|index| usize::try_from(index).ok());
        let Some(request) = index.and_then(|index| requests.get_mut(index)) else {
            return;
        };
        request.status = status;
        if let Some(file) = record {
            let line = format!("{}\n", request.to_json());
            if let Err(error) = file.write_all(line.as_bytes()) {
                eprintln!("scw-standin: cannot write the record: {error}");
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Carries out a request to the public API.
    pub(crate) fn public_answer(&self, request: &Incoming) -> Answer {
        self.platform(|platform| public_api::answer(platform, request))
    }

    /// Carries out a request to the Metadata API.
    pub(crate) fn metadata_answer(&self, request: &Incoming, source_port: u16) -> Answer {
        let Incoming { method, target, body, .. } = request;
        let call = Call { method, target, body, source_port };
        self.platform(|platform| metadata_api::answer(platform, self.dialect, call))
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    pub(crate) fn clear_requests(&self) {
        let mut state = self.lock();
        state.cleared += state.requests.len() as u64;
        state.requests.clear();
    }

    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.lock().connections.clone()
    }

    /// Waits until `f` is true for the requests, at most for `timeout`; returns the last result of `f`.
    pub(crate) fn wait_for(&self, timeout: Duration, f: impl Fn(&[Request]) -> bool) -> bool {
        let waiting = self.changed.wait_timeout_while(self.lock(), timeout, |state| !f(&state.requests));
        let (state, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        f(&state.requests)
    }
}

//! The state that the server's tasks and the handle share, behind one lock that is never held across an
//! `await`. Each change is a method; nobody else takes the lock.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::record::{Closed, Connection, How, Request, Side};
use crate::api::{self, Call, World};
use crate::faults::{Book, Seen, Verdict};
use crate::http::{Answer, Incoming};
use crate::options::Dialect;

/// What all parts of the server share.
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
    world: World,
    book: Book,
    requests: Vec<Request>,
    /// How many requests were cleared away: the number of `requests[0]`.
    cleared: u64,
    connections: Vec<Connection>,
    record: Option<File>,
}

impl Shared {
    pub(crate) fn new(
        world: World,
        book: Book,
        record: Option<File>,
        dialect: Dialect,
        keep_alive: Duration,
    ) -> Shared {
        let (requests, connections) = (Vec::new(), Vec::new());
        let state = State { world, book, requests, cleared: 0, connections, record };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Shared { state, changed, started: Instant::now(), dialect, keep_alive }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a look at the data behind the API, or changes it.
    pub(crate) fn world<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        f(&mut self.lock().world)
    }

    /// Puts other orders in force.
    pub(crate) fn set_book(&self, book: Book) {
        self.lock().book = book;
    }

    pub(crate) fn refuses(&self, local: SocketAddr) -> bool {
        self.lock().book.refuses(local)
    }

    /// Notes a new connection; returns its number and what is to happen to it.
    pub(crate) fn connected(&self, peer: SocketAddr, local: SocketAddr) -> (u64, Verdict) {
        let mut state = self.lock();
        let verdict = state.book.judge(Seen { local, request: None });
        let id = state.connections.len() as u64 + 1;
        let (at, fault) = (self.started.elapsed(), verdict.name.clone());
        let connection = Connection { id, at, peer, local, requests: 0, closed: None, fault, error: None };
        state.connections.push(connection);
        (id, verdict)
    }

    /// Changes what is remembered of a connection.
    fn note(&self, id: u64, f: impl FnOnce(&mut Connection)) {
        let index = usize::try_from(id - 1).unwrap_or(usize::MAX);
        if let Some(connection) = self.lock().connections.get_mut(index) {
            f(connection);
        }
    }

    /// Notes who closed a connection; only the first one counts.
    pub(crate) fn closed(&self, id: u64, by: Side, how: How) {
        let at = self.started.elapsed();
        self.note(id, |connection| {
            connection.closed.get_or_insert(Closed { at, by, how });
        });
    }

    /// Notes that the client sent something that is not a whole, valid request.
    pub(crate) fn misbehaved(&self, id: u64, error: &str) {
        self.note(id, |connection| connection.error = Some(error.to_owned()));
    }

    /// Notes a request; returns its number and what is to happen to it.
    pub(crate) fn arrived(
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

    /// Notes the status that is about to be sent (or that there will be none), and writes the request to the
    /// record. Done before the first byte leaves, so that whoever has the answer finds the record complete.
    pub(crate) fn decided(&self, number: u64, status: Option<u16>) {
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

    /// Carries a request out.
    pub(crate) fn answer(&self, request: &Incoming, source_port: u16) -> Answer {
        let Incoming { method, target, body, .. } = request;
        let call = Call { method, target, body, source_port };
        self.world(|world| api::answer(world, self.dialect, call))
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

    /// Waits until `f` holds for the requests, at most for `timeout`; returns whether it holds.
    pub(crate) fn wait_for(&self, timeout: Duration, f: impl Fn(&[Request]) -> bool) -> bool {
        let waiting = self.changed.wait_timeout_while(self.lock(), timeout, |state| !f(&state.requests));
        let (state, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        f(&state.requests)
    }
}

//! The matrix as a table: every fault of the stand-in, and the outcome of each operation that the invariants require. It is plain
//! data and must not depend on how the client handles a fault.

use scw_standin::{Fault, Order, RetryAfter};

/// A request to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// `scw-userdata`
    List,
    /// `scw-userdata key`
    Get,
    /// `scw-userdata key VALUE`
    Set,
    /// `scw-userdata --delete key`
    Delete,
    /// The client of the library requests the Instance's metadata.
    Conf,
}

impl Operation {
    pub(super) const ALL: [Operation; 5] =
        [Operation::List, Operation::Get, Operation::Set, Operation::Delete, Operation::Conf];
}

/// The outcome that the invariants require.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The correct value, or the change made, after one request.
    Success,
    /// The same, after a second request on a new connection.
    SuccessAtSecondAttempt,
    /// Success after one request: the wrong answer is taken as correct. The text is the output of operations that have one.
    Accepted(&'static str),
    /// A refusal or an invalid answer: this exit code, without a retry.
    Failure(i32),
    /// The connection is lost, tried again once, and lost again: exit code 5.
    ConnectionLost,
    /// No answer in time: exit code 5, after one request over each family that is served.
    Timeout,
    /// No connection: exit code 5.
    NoConnection,
}

use Operation::{Conf, Delete, Get, List, Set};
use Outcome::{Accepted, ConnectionLost, Failure, NoConnection, Success, SuccessAtSecondAttempt, Timeout};

/// One fault.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) order: Order,
    /// Whether the stand-in applies the request although the fault occurs.
    pub(super) applied: bool,
    pub(super) outcome: fn(Operation) -> Outcome,
}

impl Row {
    fn new(name: impl Into<String>, fault: Fault, outcome: fn(Operation) -> Outcome) -> Row {
        Row { name: name.into(), order: Order::new(fault), applied: false, outcome }
    }

    /// For faults that occur after the request was applied.
    fn applied(self) -> Row {
        Row { applied: true, ..self }
    }

    /// Whether the fault occurs before any request is read.
    pub(super) fn precedes_request(&self) -> bool {
        self.name.starts_with("accept-")
    }

    /// The fault occurs only the first time.
    fn once(self) -> Row {
        Row { name: format!("{}, once", self.name), order: self.order.nth("1"), ..self }
    }
}

/// Every fault; `elsewhere` is the target of redirects to another address.
pub(super) fn rows(elsewhere: &str) -> Vec<Row> {
    [connections(), answers(), statuses(), redirects(elsewhere)].into_iter().flatten().collect()
}

/// A lost connection is tried again once; a silent one ends with a timeout (T1, T3).
fn connections() -> Vec<Row> {
    let long = 600_000; // In ms, beyond the end of the test: the request is never applied.
    let lost = || {
        [
            Row::new("drop", Fault::Drop, |_| ConnectionLost),
            Row::new("reset", Fault::Reset, |_| ConnectionLost),
            Row::new("accept-reset", Fault::AcceptReset, |_| ConnectionLost),
            Row::new("apply-then-drop", Fault::ApplyThenDrop, |_| ConnectionLost).applied(),
            Row::new("close-in-headers", Fault::CloseInHeaders, |_| ConnectionLost).applied(),
            Row::new("close-in-body", Fault::CloseInBody, |_| ConnectionLost).applied(),
            Row::new("long-length", Fault::LongLength, |_| ConnectionLost).applied(),
        ]
    };
    let once = lost().map(|row| Row { outcome: |_| SuccessAtSecondAttempt, ..row.once() });
    let others = [
        Row::new("refuse", Fault::Refuse, |_| NoConnection),
        Row::new("silent", Fault::Silent, |_| Timeout),
        Row::new("accept-silent", Fault::AcceptSilent, |_| Timeout),
        Row::new("delay, too long", Fault::Delay { ms: long }, |_| Timeout),
        Row::new("slow, too slow", Fault::Slow { bytes: 1, ms: 100 }, |_| Timeout).applied(),
        Row::new("delay", Fault::Delay { ms: 50 }, |_| Success).applied(),
        Row::new("slow", Fault::Slow { bytes: 64, ms: 1 }, |_| Success).applied(),
        Row::new("close-after", Fault::CloseAfter, |_| Success).applied(),
        Row::new("close-to-client", Fault::CloseToClient, |_| Success).applied(),
    ];
    lost().into_iter().chain(once).chain(others).collect()
}

/// Invalid HTTP, or an answer beyond the limits, is never a value. It is not retried, because the answer would be the same (T1).
fn answers() -> Vec<Row> {
    let huge = |length| Fault::Huge { bytes: 5 * 1024 * 1024, length };
    let text = || "not what was asked for".to_owned();
    vec![
        Row::new("garbage", Fault::Garbage, |_| Failure(6)),
        Row::new("chunked", Fault::Chunked, |_| Success).applied(),
        Row::new("chunked-garbage", Fault::ChunkedGarbage, |_| Failure(6)).applied(),
        Row::new("short-length", Fault::ShortLength, |operation| match operation {
            // These operations need only the status, which arrived complete.
            Set | Delete => Success,
            List | Get | Conf => Failure(6),
        })
        .applied(),
        Row::new("huge", huge(true), |_| Failure(6)),
        Row::new("huge, without a length", huge(false), |_| Failure(6)),
        Row::new("many-headers", Fault::ManyHeaders { count: 200 }, |_| Failure(6)).applied(),
        Row::new("some headers", Fault::ManyHeaders { count: 40 }, |_| Success).applied(),
        Row::new("huge-header", Fault::HugeHeader { bytes: 100_000 }, |_| Failure(6)).applied(),
        Row::new("large header", Fault::HugeHeader { bytes: 20_000 }, |_| Success).applied(),
        // A client can detect this only where the answer has a known format.
        Row::new("body", Fault::Body { text: text() }, |operation| match operation {
            Conf => Failure(6),
            List => Accepted("not what was asked for\n"),
            Get | Set | Delete => Accepted("not what was asked for"),
        }),
    ]
}

/// An answer with an unexpected status is never a value (T1), and a 4xx status is never retried (T2).
fn statuses() -> Vec<Row> {
    let status = |code, outcome| {
        // The requested wait is too long for a command, so the command fails at once (T5).
        let retry_after = (code == 429 || code >= 500).then_some(RetryAfter::Seconds(60));
        let body = "# For security reason, this looks like data\n".to_owned();
        Row::new(format!("status {code}"), Fault::Status { code, body, retry_after, location: None }, outcome)
    };
    let refused = [201, 202, 206, 300, 304, 400, 401, 405, 409, 410, 413, 429, 500, 502, 503, 504, 599];
    let others = [
        status(200, |operation| match operation {
            Conf => Failure(6),
            _ => Accepted("# For security reason, this looks like data\n"),
        }),
        status(204, |operation| match operation {
            List | Conf => Failure(6),
            Get | Set | Delete => Accepted(""),
        }),
        status(403, |_| Failure(4)),
        status(404, |operation| match operation {
            Get | Delete => Failure(3),
            List | Set | Conf => Failure(6),
        }),
    ];
    refused.into_iter().map(|code| status(code, |_| Failure(6))).chain(others).collect()
}

/// A redirect is never followed, neither to another address nor to the service itself (T1).
fn redirects(elsewhere: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for code in [301, 302, 303, 307, 308] {
        for (to, location) in [("elsewhere", elsewhere), ("here", "http://169.254.42.42/user_data/key")] {
            let location = Some(location.to_owned());
            let fault = Fault::Status { code, body: String::new(), retry_after: None, location };
            rows.push(Row::new(format!("redirect {code} {to}"), fault, |_| Failure(6)));
        }
    }
    rows
}

//! The fault matrix: every fault of the stand-in, over every way to it, met by every operation. What the laws T1 to T5 outcome
//! is in [`table`]; here it is tried, with the real programs, and every request that reached the stand-in is counted.

mod single;
mod table;

use std::net::TcpListener;
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use scw_agent::command::Exit;
use scw_agent::metadata::{Ask, Client};
use scw_agent::settings::{self, Settings, Sources};
use scw_agent::system::platform;
use scw_stage::{Reach, TcpState, World};

use crate::machine::*;
use table::{Operation, Outcome, Row, rows};

/// Bounds that a silent service is given up within, long enough for a busy machine to note what it was asked.
const SHORT: &str = "[metadata]\nconnect-timeout = \"1s\"\nheaders-timeout = \"2s\"\nbody-timeout = \"2s\"\nwhole-timeout = \"20s\"\n";

/// Far more than the stand-in takes to note a request that was sent. Many failures cases must not take a day.
const NOTED: Duration = Duration::from_secs(60);

/// What one family or both meet.
#[derive(Debug, Clone, Copy)]
struct Families {
    ipv4: Reach,
    ipv6: Reach,
}

impl Families {
    fn served_count(self) -> usize {
        [self.ipv4, self.ipv6].into_iter().filter(|reach| *reach == Reach::Served).count()
    }
}

#[test]
fn every_fault_over_ipv4_alone_is_handled() {
    run_matrix(Families { ipv4: Reach::Served, ipv6: Reach::Absent });
}

#[test]
fn every_fault_over_ipv6_alone_is_handled() {
    run_matrix(Families { ipv4: Reach::Absent, ipv6: Reach::Served });
}

#[test]
fn every_fault_over_both_families_is_handled() {
    run_matrix(Families { ipv4: Reach::Served, ipv6: Reach::Served });
}

#[test]
fn every_fault_over_ipv6_with_silent_ipv4_is_handled() {
    run_matrix(Families { ipv4: Reach::Silent, ipv6: Reach::Served });
}

#[test]
fn every_fault_over_ipv4_with_silent_ipv6_is_handled() {
    run_matrix(Families { ipv4: Reach::Served, ipv6: Reach::Silent });
}

/// Tries the whole table, each operation in a world of its own, side by side since much of the time is spent waiting for nothing.
fn run_matrix(families: Families) {
    let start = Instant::now();
    let cases: usize = thread::scope(|scope| {
        let columns =
            Operation::ALL.map(|operation| scope.spawn(move || check_operation(families, operation)));
        columns.into_iter().map(|column| column.join().unwrap_or_else(|panic| resume_unwind(panic))).sum()
    });
    println!("{families:?}: {cases} cases in {:?}", start.elapsed());
}

/// Tries one operation with every fault, and tells everything that is not as expected. Returns the number of cases.
fn check_operation(families: Families, operation: Operation) -> usize {
    World::builder().ipv4(families.ipv4).ipv6(families.ipv6).run(|world| {
        let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a port of the guest's own");
        let rows = rows(&format!("http://{}/", elsewhere.local_addr().expect("bound")));
        let failures: Vec<_> =
            rows.iter().filter_map(|row| check_case(world, families, row, operation)).collect();
        assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), rows.len(), failures.join("\n"));
        elsewhere.set_nonblocking(true).expect("a listener");
        assert!(elsewhere.accept().is_err(), "T1: a redirect was followed");
        let waiting: Vec<_> =
            world.tcp_table().into_iter().filter(|entry| entry.state == TcpState::TimeWait).collect();
        assert!(waiting.is_empty(), "T4: {waiting:?}");
        rows.len()
    })
}

/// Everything that the laws say something about, in one case.
#[derive(Debug, PartialEq, Eq)]
struct Observed {
    code: i32,
    out: String,
    /// Whether a failure said why.
    explained: bool,
    requests: usize,
    /// Connections that came to something: with a request, or struck by a fault.
    connections: usize,
    stored: Option<String>,
}

/// Returns what was not as expected, if anything.
fn check_case(world: &World, families: Families, row: &Row, operation: Operation) -> Option<String> {
    let outcome = (row.outcome)(operation);
    let standin = world.standin();
    let waits = matches!(outcome, Outcome::Timeout | Outcome::NoConnection);
    let bounds = if waits { SHORT } else { "" };
    std::fs::write(settings::FILE, bounds).expect("written");
    standin.set_orders(Vec::new());
    standin.set_user_data("key", "value");
    standin.clear_requests();
    let before = standin.connections().len();
    standin.set_orders(vec![row.order.clone()]);
    let start = Instant::now();
    let ended = run_operation(world, operation);
    let took = start.elapsed();
    let used = |connection: &&scw_standin::Connection| connection.requests > 0 || connection.fault.is_some();
    let connections = || standin.connections()[before..].iter().filter(used).count();
    let expected = expected(world, families, row, operation);
    // An operation that gave up may end before the stand-in has noted what it was asked.
    let is_noted = || standin.requests().len() >= expected.requests && connections() >= expected.connections;
    let deadline = Instant::now() + NOTED;
    while !is_noted() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    let observed = Observed {
        code: ended.code,
        out: ended.out,
        explained: ended.code == 0 || !ended.err.is_empty(),
        requests: standin.requests().len(),
        connections: connections(),
        stored: standin.user_data("key").map(|value| String::from_utf8_lossy(&value).into_owned()),
    };
    let as_expected = observed == expected && took < LONG;
    (!as_expected).then(|| {
        let Row { name, .. } = row;
        format!(
            "{name}, {operation:?}, {took:?}:\n  expected {expected:?}\n  saw      {observed:?}\n  {}",
            ended.err
        )
    })
}

fn run_operation(world: &World, operation: Operation) -> Ended {
    match operation {
        Operation::List => userdata(world, &[]),
        Operation::Get => userdata(world, &["key"]),
        Operation::Set => userdata(world, &["key", "new value"]),
        Operation::Delete => userdata(world, &["--delete", "key"]),
        Operation::Conf => conf(world),
    }
}

/// Asks for the Instance as the daemon does, on a connection that is not told to close.
fn conf(world: &World) -> Ended {
    world.check_inside().expect("a thread inside the world");
    let Settings { limits, vendor, .. } = settings::load(&Sources::default()).settings;
    let proof = platform::check(&vendor).expect("a world like an Instance");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut client = Client::new(&proof, limits);
        let asked = client.instance().await;
        client.finish().await;
        match asked {
            Ok(instance) => Ended { code: 0, out: instance.id.to_string(), err: String::new() },
            Err(why) => {
                Ended { code: Exit::from(why.kind()) as i32, out: String::new(), err: why.to_string() }
            }
        }
    })
}

/// What the outcome means for what can be observed.
fn expected(world: &World, families: Families, row: &Row, operation: Operation) -> Observed {
    let outcome = (row.outcome)(operation);
    let value = || match operation {
        Operation::List => "USER_DATA=1\nUSER_DATA_0=key\n".to_owned(),
        Operation::Get => "value".to_owned(),
        Operation::Set | Operation::Delete => String::new(),
        Operation::Conf => world.standin().conf()["id"].as_str().unwrap_or_default().to_owned(),
    };
    let (code, out, tries) = match outcome {
        Outcome::Success => (0, value(), 1),
        Outcome::SuccessAtSecondAttempt => (0, value(), 2),
        Outcome::Accepted(_) if matches!(operation, Operation::Set | Operation::Delete) => {
            (0, String::new(), 1)
        }
        Outcome::Accepted(text) => (0, text.to_owned(), 1),
        Outcome::Failure(code) => (code, String::new(), 1),
        Outcome::ConnectionLost => (5, String::new(), 2),
        Outcome::Timeout => (5, String::new(), families.served_count()),
        Outcome::NoConnection => (5, String::new(), 0),
    };
    // Nobody reads a request on a connection that a fault struck as it came.
    let struck = match outcome {
        _ if !row.precedes_request() => 0,
        Outcome::SuccessAtSecondAttempt => 1,
        _ => tries,
    };
    let done = row.applied || outcome == Outcome::SuccessAtSecondAttempt;
    let stored = match operation {
        Operation::Set if done => Some("new value"),
        Operation::Delete if done => None,
        _ => Some("value"),
    };
    Observed {
        code,
        out,
        explained: true,
        requests: tries - struck,
        connections: tries,
        stored: stored.map(str::to_owned),
    }
}

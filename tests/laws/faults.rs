//! The fault matrix: every operation with every fault of the stand-in, over each combination of families. [`table`] has the outcome
//! that the invariants T1 to T5 require. The tests run the real programs and count every request that reaches the stand-in.

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

/// Timeouts for a silent service, long enough for the stand-in to record the request on a busy machine.
const SHORT: &str = "[metadata]\nconnect-timeout = \"1s\"\nheaders-timeout = \"2s\"\nbody-timeout = \"2s\"\nwhole-timeout = \"20s\"\n";

/// Far more than the stand-in takes to record a request. Bounded, so that many failing cases do not take a day.
const RECORDED_WITHIN: Duration = Duration::from_secs(60);

/// The reach of the service over each family.
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

/// Checks the complete table. Each operation has its own world; they run in parallel, because most of the time is spent waiting.
fn run_matrix(families: Families) {
    let start = Instant::now();
    let cases: usize = thread::scope(|scope| {
        let columns =
            Operation::ALL.map(|operation| scope.spawn(move || check_operation(families, operation)));
        columns.into_iter().map(|column| column.join().unwrap_or_else(|panic| resume_unwind(panic))).sum()
    });
    println!("{families:?}: {cases} cases in {:?}", start.elapsed());
}

/// Checks one operation with every fault and reports every wrong outcome. Returns the number of cases.
fn check_operation(families: Families, operation: Operation) -> usize {
    World::builder().ipv4(families.ipv4).ipv6(families.ipv6).run(|world| {
        let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a local port");
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

/// Everything in one case that the invariants define.
#[derive(Debug, PartialEq, Eq)]
struct Observed {
    code: i32,
    out: String,
    /// Whether a failure has an error message.
    explained: bool,
    requests: usize,
    /// Connections with a request or with a fault.
    connections: usize,
    stored: Option<String>,
}

/// Returns a description of the case if its outcome is wrong.
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
    // An operation that fails may end before the stand-in has recorded its request.
    let is_recorded =
        || standin.requests().len() >= expected.requests && connections() >= expected.connections;
    let deadline = Instant::now() + RECORDED_WITHIN;
    while !is_recorded() && Instant::now() < deadline {
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
            "{name}, {operation:?}, {took:?}:\n  expected {expected:?}\n  observed {observed:?}\n  {}",
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

/// Requests the Instance's metadata as the daemon does, on a connection that stays open.
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

/// What the required outcome means for each observable value.
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
    // No request is read on a connection whose fault occurs at once.
    let unread = match outcome {
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
        requests: tries - unread,
        connections: tries,
        stored: stored.map(str::to_owned),
    }
}

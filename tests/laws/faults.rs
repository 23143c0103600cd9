//! The fault matrix: every fault of the stand-in, over every way to it, met by every operation. What the laws T1 to T5 promise
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
use table::{Operation, Promise, Row, rows};

/// Bounds that a silent service is given up within, long enough for a busy machine to note what it was asked.
const SHORT: &str = "[metadata]\nconnect-timeout = \"1s\"\nheaders-timeout = \"2s\"\nbody-timeout = \"2s\"\nwhole-timeout = \"20s\"\n";

/// Far more than the stand-in takes to note a request that was sent. Many broken cases must not take a day.
const NOTED: Duration = Duration::from_secs(60);

/// What one family or both meet.
#[derive(Debug, Clone, Copy)]
struct Ways {
    ipv4: Reach,
    ipv6: Reach,
}

impl Ways {
    fn serving(self) -> usize {
        [self.ipv4, self.ipv6].into_iter().filter(|reach| *reach == Reach::Served).count()
    }
}

#[test]
fn every_fault_over_ipv4_alone_is_handled() {
    matrix(Ways { ipv4: Reach::Served, ipv6: Reach::Absent });
}

#[test]
fn every_fault_over_ipv6_alone_is_handled() {
    matrix(Ways { ipv4: Reach::Absent, ipv6: Reach::Served });
}

#[test]
fn every_fault_over_both_families_is_handled() {
    matrix(Ways { ipv4: Reach::Served, ipv6: Reach::Served });
}

#[test]
fn every_fault_over_ipv6_with_silent_ipv4_is_handled() {
    matrix(Ways { ipv4: Reach::Silent, ipv6: Reach::Served });
}

#[test]
fn every_fault_over_ipv4_with_silent_ipv6_is_handled() {
    matrix(Ways { ipv4: Reach::Served, ipv6: Reach::Silent });
}

/// Tries the whole table, each operation in a world of its own, side by side since much of the time is spent waiting for nothing.
fn matrix(ways: Ways) {
    let start = Instant::now();
    let cases: usize = thread::scope(|scope| {
        let columns = Operation::ALL.map(|operation| scope.spawn(move || column(ways, operation)));
        columns.into_iter().map(|column| column.join().unwrap_or_else(|panic| resume_unwind(panic))).sum()
    });
    println!("{ways:?}: {cases} cases in {:?}", start.elapsed());
}

/// Tries one operation with every fault, and tells everything that is not as promised. Returns the number of cases.
fn column(ways: Ways, operation: Operation) -> usize {
    World::builder().ipv4(ways.ipv4).ipv6(ways.ipv6).run(|world| {
        let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a port of the guest's own");
        let rows = rows(&format!("http://{}/", elsewhere.local_addr().expect("bound")));
        let broken: Vec<_> = rows.iter().filter_map(|row| try_case(world, ways, row, operation)).collect();
        assert!(broken.is_empty(), "{} of {} cases:\n{}", broken.len(), rows.len(), broken.join("\n"));
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
struct Seen {
    code: i32,
    out: String,
    /// Whether a failure said why.
    explained: bool,
    requests: usize,
    /// Connections that came to something: with a request, or struck by a fault.
    connections: usize,
    stored: Option<String>,
}

/// Returns what was not as promised, if anything.
fn try_case(world: &World, ways: Ways, row: &Row, operation: Operation) -> Option<String> {
    let promise = (row.promise)(operation);
    let standin = world.standin();
    let waits = matches!(promise, Promise::Silence | Promise::NoWay);
    let bounds = if waits { SHORT } else { "" };
    std::fs::write(settings::FILE, bounds).expect("written");
    standin.set_orders(Vec::new());
    standin.set_user_data("key", "value");
    standin.clear_requests();
    let before = standin.connections().len();
    standin.set_orders(vec![row.order.clone()]);
    let start = Instant::now();
    let ended = carry_out(world, operation);
    let took = start.elapsed();
    let used = |connection: &&scw_standin::Connection| connection.requests > 0 || connection.fault.is_some();
    let connections = || standin.connections()[before..].iter().filter(used).count();
    let promised = promised(world, ways, row, operation);
    // An operation that gave up may end before the stand-in has noted what it was asked.
    let is_noted = || standin.requests().len() >= promised.requests && connections() >= promised.connections;
    let deadline = Instant::now() + NOTED;
    while !is_noted() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    let seen = Seen {
        code: ended.code,
        out: ended.out,
        explained: ended.code == 0 || !ended.err.is_empty(),
        requests: standin.requests().len(),
        connections: connections(),
        stored: standin.user_data("key").map(|value| String::from_utf8_lossy(&value).into_owned()),
    };
    let as_promised = seen == promised && took < LONG;
    (!as_promised).then(|| {
        let Row { name, .. } = row;
        format!(
            "{name}, {operation:?}, {took:?}:\n  promised {promised:?}\n  saw      {seen:?}\n  {}",
            ended.err
        )
    })
}

fn carry_out(world: &World, operation: Operation) -> Ended {
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

/// What the promise means for what can be seen.
fn promised(world: &World, ways: Ways, row: &Row, operation: Operation) -> Seen {
    let promise = (row.promise)(operation);
    let value = || match operation {
        Operation::List => "USER_DATA=1\nUSER_DATA_0=key\n".to_owned(),
        Operation::Get => "value".to_owned(),
        Operation::Set | Operation::Delete => String::new(),
        Operation::Conf => world.standin().conf()["id"].as_str().unwrap_or_default().to_owned(),
    };
    let (code, out, tries) = match promise {
        Promise::Success => (0, value(), 1),
        Promise::SuccessAtSecondTry => (0, value(), 2),
        Promise::Told(_) if matches!(operation, Operation::Set | Operation::Delete) => (0, String::new(), 1),
        Promise::Told(text) => (0, text.to_owned(), 1),
        Promise::No(code) => (code, String::new(), 1),
        Promise::Cut => (5, String::new(), 2),
        Promise::Silence => (5, String::new(), ways.serving()),
        Promise::NoWay => (5, String::new(), 0),
    };
    // Nobody reads a request on a connection that a fault struck as it came.
    let struck = match promise {
        _ if !row.strikes_connections() => 0,
        Promise::SuccessAtSecondTry => 1,
        _ => tries,
    };
    let done = row.carried_out || promise == Promise::SuccessAtSecondTry;
    let stored = match operation {
        Operation::Set if done => Some("new value"),
        Operation::Delete if done => None,
        _ => Some("value"),
    };
    Seen {
        code,
        out,
        explained: true,
        requests: tries - struck,
        connections: tries,
        stored: stored.map(str::to_owned),
    }
}

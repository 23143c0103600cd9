//! Tests of the guest's network: the reach of each family, source ports, the guard against commands outside, and parallel worlds.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use scw_stage::{Family, Outside, Reach, StageError, TcpState, World};

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];
const ALL: [Reach; 4] = [Reach::Served, Reach::Absent, Reach::Refused, Reach::Silent];

fn metadata(family: Family) -> SocketAddr {
    let ip = match family {
        Family::Ipv4 => IpAddr::from(Ipv4Addr::new(169, 254, 42, 42)),
        Family::Ipv6 => IpAddr::from(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
    };
    SocketAddr::new(ip, 80)
}

/// Connects to the metadata service over one family.
fn connect(family: Family, timeout: Duration) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&metadata(family), timeout)
}

fn request(mut stream: &TcpStream) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}

fn assert_reach(world: &World, family: Family, reach: Reach) {
    let timeout = Duration::from_millis(if reach == Reach::Silent { 300 } else { 300_000 });
    let errno = |result: io::Result<TcpStream>| {
        Errno::from_raw(result.expect_err("no connection").raw_os_error().expect("an error of the system"))
    };
    let result = connect(family, timeout);
    match reach {
        Reach::Served => assert!(request(&result.expect("connected")).starts_with("HTTP/1.1 200")),
        Reach::Absent => assert_eq!(errno(result), Errno::ENETUNREACH),
        Reach::Refused => assert_eq!(errno(result), Errno::ECONNREFUSED),
        Reach::Silent => {
            let before = world.standin().connections().len();
            assert_eq!(result.expect_err("no connection").kind(), ErrorKind::TimedOut);
            assert_eq!(world.standin().connections().len(), before);
        }
    }
}

#[test]
fn each_reach_works_in_each_family() {
    for ipv4 in ALL {
        for ipv6 in ALL {
            World::builder().ipv4(ipv4).ipv6(ipv6).run(|world| {
                assert_reach(world, Family::Ipv4, ipv4);
                assert_reach(world, Family::Ipv6, ipv6);
            });
        }
    }
}

#[test]
fn reach_changes_between_all_states() {
    World::builder().run(|world| {
        for family in FAMILIES {
            for from in ALL {
                for to in ALL {
                    world.set_reach(family, from);
                    world.set_reach(family, to);
                    assert_reach(world, family, to);
                }
            }
            world.set_reach(family, Reach::Served);
        }
    });
}

#[test]
fn unplugged_cable_stops_both_families() {
    World::builder().run(|world| {
        world.set_link(false);
        world.set_link(false);
        FAMILIES.into_iter().for_each(|family| assert_reach(world, family, Reach::Absent));
        world.set_reach(Family::Ipv6, Reach::Refused);
        FAMILIES.into_iter().for_each(|family| assert_reach(world, family, Reach::Absent));
        world.set_link(true);
        assert_reach(world, Family::Ipv4, Reach::Served);
        assert_reach(world, Family::Ipv6, Reach::Refused);
    });
}

#[test]
fn open_connection_becomes_silent_and_recovers() {
    World::builder().run(|world| {
        for family in FAMILIES {
            let stream = connect(family, Duration::from_secs(300)).expect("connected");
            world.set_reach(family, Reach::Silent);
            stream.set_read_timeout(Some(Duration::from_millis(300))).expect("set");
            (&stream).write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
            let error = (&stream).read(&mut [0; 1]).expect_err("no answer");
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            assert!(world.standin().requests().is_empty());

            world.set_reach(family, Reach::Served);
            stream.set_read_timeout(Some(Duration::from_secs(300))).expect("set");
            assert_eq!((&stream).read(&mut [0; 1]).expect("the answer arrives"), 1);
            world.standin().clear_requests();
        }
    });
}

#[test]
fn only_source_ports_below_1024_are_accepted() {
    World::builder().run(|world| {
        let status = |port: u16| {
            let script = "exec curl --silent --max-time 300 --output /dev/null --write-out '%{http_code}' \
                          --local-port $0 http://169.254.42.42/user_data";
            let output = world.command("sh").args(["-c", script, &port.to_string()]).output().expect("run");
            String::from_utf8(output.stdout).expect("digits")
        };
        assert_eq!((status(1023), status(1024)), ("200".to_owned(), "403".to_owned()));
        let ports: Vec<u16> = world.standin().requests().iter().map(|request| request.peer.port()).collect();
        assert_eq!(ports, [1023, 1024]);
    });
}

#[test]
fn tcp_table_shows_which_side_closed_first() {
    World::builder().run(|world| {
        for family in FAMILIES {
            let stream = connect(family, Duration::from_secs(300)).expect("connected");
            let local = stream.local_addr().expect("bound");
            let state =
                || world.tcp_table().iter().find(|entry| entry.local == local).map(|entry| entry.state);
            assert_eq!(state(), Some(TcpState::Established));
            drop(stream);
            // The server needs a moment to close its side.
            for _ in 0..30_000 {
                if state() == Some(TcpState::TimeWait) {
                    break;
                }
                thread::sleep(Duration::from_millis(10));
            }
            assert_eq!(state(), Some(TcpState::TimeWait));
            let entry = world.tcp_table().into_iter().find(|entry| entry.local == local).expect("there");
            assert_eq!(entry.remote, metadata(family));
        }
    });
}

#[test]
fn no_command_on_the_machines_own_network() {
    thread::spawn(|| {
        let home = std::fs::File::open("/proc/thread-self/ns/net").expect("there");
        let world = World::builder().build().expect("a world");
        assert_eq!(world.check_inside(), Ok(()));
        setns(&home, CloneFlags::CLONE_NEWNET).expect("back");
        assert_eq!(world.check_inside(), Err(Outside::MachineNetwork));
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.command("true")));
        assert!(made.is_err());
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.agent_command("true")));
        assert!(made.is_err());
    })
    .join()
    .expect("refused");
}

#[test]
fn no_command_outside_the_world_or_with_a_route_out() {
    World::builder().run(|world| {
        for route in ["default dev eth0", "-6 default dev eth0"] {
            let ip = |verb: &str| {
                let (family, route) = route.strip_prefix("-6 ").map_or(("-4", route), |route| ("-6", route));
                let mut command = Command::new("ip");
                command.args([family, "route", verb]).args(route.split(' '));
                assert!(command.status().expect("run").success());
            };
            ip("add");
            assert_eq!(world.check_inside(), Err(Outside::DefaultRoute), "{route}");
            ip("del");
            assert_eq!(world.check_inside(), Ok(()));
        }
        nix::sched::unshare(CloneFlags::CLONE_NEWNET).expect("root");
        assert_eq!(world.check_inside(), Err(Outside::OtherNetwork));
    });
}

#[test]
fn thread_cannot_have_a_second_world() {
    World::builder().run(|_| {
        assert!(matches!(World::builder().build(), Err(StageError::SecondWorld)));
    });
}

#[test]
fn parallel_worlds_do_not_disturb_each_other() {
    const WORLDS: usize = 6;
    let barrier = Barrier::new(WORLDS);
    thread::scope(|scope| {
        for number in 0..WORLDS {
            let barrier = &barrier;
            scope.spawn(move || {
                World::builder().run(|world| {
                    std::fs::write("/etc/scw-agent.toml", number.to_string()).expect("written");
                    world.standin().set_user_data("number", number.to_string());
                    barrier.wait();
                    // Half of the worlds lose a family. The others must not notice that.
                    let reach = if number % 2 == 0 { Reach::Served } else { Reach::Refused };
                    world.set_reach(Family::Ipv4, reach);
                    barrier.wait();
                    assert_reach(world, Family::Ipv4, reach);
                    assert_reach(world, Family::Ipv6, Reach::Served);
                    let text = std::fs::read_to_string("/etc/scw-agent.toml").expect("read");
                    assert_eq!(text, number.to_string());
                    let value = world.standin().user_data("number");
                    assert_eq!(value, Some(number.to_string().into_bytes()));
                    let requests = 1 + usize::from(reach == Reach::Served);
                    assert_eq!(world.standin().requests().len(), requests);
                    barrier.wait();
                });
            });
        }
    });
}

//! T2: the source port. One free port of 1023 is enough, whatever occupies the others. Reserved ports are used last. A process that
//! may bind only some of the ports uses those.

use std::collections::HashSet;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use scw_stage::{Reach, TcpEntry, TcpState, World};
use socket2::{Domain, Socket, Type};

use crate::machine::*;

/// The only free port, in turn: both ends of the range, both ends of the part that is tried first, the port of a service, and one
/// in the middle.
const FREE: [u16; 6] = [1, 22, 511, 512, 700, 1023];

const SERVICE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 42, 42)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
];

/// All privileged ports except this one.
fn all_but(free: Option<u16>) -> impl Iterator<Item = u16> {
    (1..=1023).filter(move |port| Some(*port) != free)
}

/// A socket on this port of all local addresses, of the family of the service address. With `shared` (SO_REUSEADDR), others may use the
/// port where the kernel can distinguish the connections. A port may be occupied for a while: a child that another test starts has
/// copies of this process's closed sockets until it executes its program.
fn bind_socket(service: IpAddr, port: u16, shared: bool) -> Socket {
    let (domain, any): (_, IpAddr) = match service {
        IpAddr::V4(_) => (Domain::IPV4, Ipv4Addr::UNSPECIFIED.into()),
        IpAddr::V6(_) => (Domain::IPV6, Ipv6Addr::UNSPECIFIED.into()),
    };
    let socket = Socket::new(domain, Type::STREAM, None).expect("a socket");
    if service.is_ipv6() {
        socket.set_only_v6(true).expect("an option");
    }
    socket.set_reuse_address(shared).expect("an option");
    let deadline = Instant::now() + LONG;
    loop {
        match socket.bind(&SocketAddr::new(any, port).into()) {
            Ok(()) => return socket,
            Err(why) if why.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                sleep(Duration::from_millis(5));
            }
            Err(why) => unreachable!("port {port} of this world cannot be bound: {why}"),
        }
    }
}

/// Listens on every privileged port of both families, except one.
fn listen_on_all_but(world: &World, free: Option<u16>) -> Vec<Socket> {
    let pid = std::process::id().to_string();
    let raised = run(world.command("prlimit").args(["--nofile=8192:", "--pid", &pid]));
    assert_eq!(raised.code, 0, "2046 sockets at a time: {}", raised.err);
    let pairs = all_but(free).flat_map(|port| SERVICE.map(|service| (service, port)));
    let listening = pairs.map(|(service, port)| {
        let socket = bind_socket(service, port, false);
        socket.listen(1).expect("listening");
        socket
    });
    listening.collect()
}

/// Brings every privileged port except one into TIME_WAIT towards the service, over both families.
fn fill_with_time_wait(world: &World, free: u16, shared: bool) {
    // A stray segment can end a TIME_WAIT, so missing ones are made again.
    until(world, "in TIME_WAIT, all of them", || {
        let waiting: HashSet<_> = world
            .tcp_table()
            .into_iter()
            .filter(|entry| entry.state == TcpState::TimeWait)
            .map(|entry| (entry.remote.ip(), entry.local.port()))
            .collect();
        let all = all_but(Some(free)).flat_map(|port| SERVICE.map(|service| (service, port)));
        let missing: Vec<_> = all.filter(|pair| !waiting.contains(pair)).collect();
        for (service, port) in &missing {
            close_first(bind_socket(*service, *port, shared), *service);
        }
        missing.is_empty().then_some(())
    });
}

/// Connects, and closes before the service does: the side that closes first keeps the port in TIME_WAIT.
fn close_first(socket: Socket, service: IpAddr) {
    socket.connect(&SocketAddr::new(service, 80).into()).expect("connected");
    let mut stream = TcpStream::from(socket);
    stream.shutdown(Shutdown::Write).expect("closed");
    assert_eq!(stream.read(&mut [0]).expect("the service closes the connection, too"), 0);
}

fn set_sysctl(sysctl: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/ipv4/{sysctl}"), value).expect("written");
}

/// Gets a value. Returns the source port, and prints it with the time that the request took.
fn get_value(world: &World, held: &str) -> u16 {
    world.standin().clear_requests();
    let start = Instant::now();
    let got = userdata(world, &["key"]);
    let took = start.elapsed();
    assert_eq!((got.code, &*got.out), (0, "value"), "{held}: {}", got.err);
    assert!(took < LONG, "{held}: {took:?}");
    let requests = world.standin().requests();
    let [request] = &*requests else { unreachable!("{held}: {requests:#?}") };
    println!("{held}: from port {} in {took:?}", request.peer.port());
    request.peer.port()
}

#[test]
fn t2_one_port_that_nobody_listens_on_is_enough() {
    for free in FREE {
        World::builder().run(|world| {
            world.standin().set_user_data("key", "value");
            let others = listen_on_all_but(world, Some(free));
            assert_eq!(get_value(world, &format!("listeners on all but {free}")), free);
            drop(others);
        });
    }
}

#[test]
fn t2_one_port_that_is_not_in_time_wait_is_enough() {
    for (left_by, shared, timestamps, time_wait_port_is_usable) in [
        // After most clients, bind fails with EADDRINUSE.
        ("others", false, "1", false),
        // After clients that set SO_REUSEADDR, as ours does, a new connection can follow at once …
        ("sharers", true, "1", true),
        // … unless there are no timestamps to distinguish it from the old one: EADDRNOTAVAIL.
        ("sharers without timestamps", true, "0", false),
    ] {
        for free in FREE {
            World::builder().run(|world| {
                set_sysctl("tcp_timestamps", timestamps);
                world.standin().set_user_data("key", "value");
                fill_with_time_wait(world, free, shared);
                let port = get_value(world, &format!("TIME_WAIT, left by {left_by}, on all but {free}"));
                assert!(port == free || time_wait_port_is_usable, "from port {port}");
            });
        }
    }
}

#[test]
fn t2_when_every_port_is_taken_the_message_says_so() {
    World::builder().run(|world| {
        world.standin().set_user_data("key", "value");
        let taken = listen_on_all_but(world, None);
        let got = userdata(world, &["key"]);
        assert_eq!((got.code, &*got.out), (5, ""), "{}", got.err);
        assert!(got.err.contains("every source port below 1024 is in use"), "{}", got.err);
        assert_eq!(request_lines(world), [""; 0]);
        drop(taken);
        until(world, "without listeners", || {
            let listens = |entry: &TcpEntry| entry.state == TcpState::Listen;
            (!world.tcp_table().iter().any(listens)).then_some(())
        });
        get_value(world, "all ports free again");
    });
}

#[test]
fn t2_reserved_ports_are_used_last() {
    World::builder().run(|world| {
        world.standin().set_user_data("key", "value");
        set_sysctl("ip_local_reserved_ports", "512-899");
        let lines: String = (900..=1000).map(|port| format!("{port} # ours\n")).collect();
        std::fs::write("/etc/bindresvport.blacklist", format!("# Not for clients.\n{lines}"))
            .expect("written");
        for _ in 0..50 {
            let port = get_value(world, "512 to 1000 reserved");
            assert!(!(512..=1000).contains(&port), "from port {port}");
        }
        // A reserved port is used when no other port is free.
        let others = listen_on_all_but(world, Some(600));
        assert_eq!(get_value(world, "all but a reserved one taken"), 600);
        drop(others);
    });
}

#[test]
fn t2_only_ports_the_process_may_bind_are_used() {
    World::builder().ipv6(Reach::Absent).run(|world| {
        world.standin().set_user_data("key", "value");
        let without_capabilities = || {
            let mut command = world.command("setpriv");
            run(command
                .args(["--bounding-set=-all", "--inh-caps=-all", "--"])
                .arg(userdata_program())
                .arg("key"))
        };
        for first in [1023, 1000, 512, 100, 0] {
            set_sysctl("ip_unprivileged_port_start", &first.to_string());
            for _ in 0..5 {
                world.standin().clear_requests();
                let got = without_capabilities();
                assert_eq!((got.code, &*got.out), (0, "value"), "from {first} on: {}", got.err);
                let ports: Vec<_> =
                    world.standin().requests().iter().map(|asked| asked.peer.port()).collect();
                assert!(ports.iter().all(|port| *port >= first), "from {first} on: {ports:?}");
            }
        }
        set_sysctl("ip_unprivileged_port_start", "1024");
        let got = without_capabilities();
        assert_eq!(got.code, 4, "{}", got.err);
        assert!(got.err.contains("CAP_NET_BIND_SERVICE"), "{}", got.err);
    });
}

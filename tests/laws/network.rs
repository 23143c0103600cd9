//! T6: the daemon reacts to network events and does not wait for its next timed try.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use scw_stage::{Daemon, Family, Notify, Reach, World};

use crate::machine::*;

/// The speed of the daemon's clock. Its second try comes an eighth of a second after the first one, so after more than four minutes of real time.
const SPEED: f64 = 0.0005;
const SECOND_ATTEMPT: Duration = Duration::from_secs(250);

/// Debian's libfaketime, whose folder is named after the processor architecture.
fn faketime_library() -> PathBuf {
    let mut folders = std::fs::read_dir("/usr/lib").expect("listed").flatten();
    let library = folders.find_map(|folder| {
        let path = folder.path().join("faketime/libfaketimeMT.so.1");
        path.exists().then_some(path)
    });
    library.expect("libfaketime: apt-get install faketime")
}

/// A slow clock delays the daemon's timed tries so much that only the event can wake it, also on a busy machine.
fn assert_new_route_wakes_the_daemon(family: Family) {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        make_host_key(world);
        let notify = Notify::new(world).expect("a socket");
        let program = "/run/scw-agent-slow";
        copy_program(world, AGENT, program);
        // Only the daemon gets the library.
        let mut command = world.agent_command("env");
        command
            .arg(format!("LD_PRELOAD={}", faketime_library().display()))
            .arg(format!("FAKETIME=+0 x{SPEED}"));
        command.args([program, "daemon"]).env("NOTIFY_SOCKET", notify.path());
        let start = Instant::now();
        let daemon = Daemon::spawn(&mut command).expect("started");
        let failed = |lines: &[String]| lines.iter().any(|line| line.contains("cannot be reached"));
        assert!(daemon.wait_for(LONG, failed), "{}", daemon.output());
        world.set_reach(family, Reach::Served);
        until(world, "requested", || (!request_lines(world).is_empty()).then_some(()));
        let took = start.elapsed();
        println!("{family:?}: first request {took:?} after the start of the daemon");
        assert!(took < SECOND_ATTEMPT, "{took:?}: the request came from a timed try");
    });
}

#[test]
fn t6_new_ipv4_route_wakes_the_daemon() {
    assert_new_route_wakes_the_daemon(Family::Ipv4);
}

#[test]
fn t6_new_ipv6_route_wakes_the_daemon() {
    assert_new_route_wakes_the_daemon(Family::Ipv6);
}

#[test]
fn t6_many_route_changes_do_not_disturb_the_daemon() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        make_host_key(world);
        let daemon = start_daemon(world);
        assert!(daemon.wait_for(LONG, |lines| lines.iter().any(|line| line.contains("cannot be reached"))));
        let ticks = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/schedstat", daemon.pid())).expect("read");
            stat.split(' ').next().and_then(|on_cpu| on_cpu.parse::<u64>().ok()).expect("nanoseconds")
        };
        let before = ticks();
        let mut changes = String::new();
        for host in 0..1000 {
            changes += &format!("route add 198.51.{}.{}/32 dev lo\n", 100 + host / 250, host % 250);
        }
        std::fs::write("/run/changes", changes).expect("written");
        let changed = run(world.command("ip").args(["-batch", "/run/changes"]));
        assert_eq!(changed.code, 0, "{}", changed.err);
        sleep(Duration::from_millis(500));
        println!("1000 new routes cost the daemon {} ms of CPU time", (ticks() - before) / 1_000_000);
        // The daemon still answers, and its timed tries still find the service.
        assert_eq!(userdata(world, &["key"]).code, 5);
        world.set_reach(Family::Ipv4, Reach::Served);
        wait_until_published(world);
        daemon.terminate();
    });
}

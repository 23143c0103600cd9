//! T6: the network coming up is an event, not a poll.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use scw_stage::{Daemon, Family, Notify, Reach, World};

use crate::machine::*;

/// How fast the daemon's clock runs: its second try is an eighth of a second after its first one, so more than four minutes of real time.
const SPEED: f64 = 0.0005;
const SECOND_ATTEMPT: Duration = Duration::from_secs(250);

/// Debian's libfaketime, whose folder is named after the machine.
fn faketime_library() -> PathBuf {
    let mut folders = std::fs::read_dir("/usr/lib").expect("listed").flatten();
    let library = folders.find_map(|folder| {
        let path = folder.path().join("faketime/libfaketimeMT.so.1");
        path.exists().then_some(path)
    });
    library.expect("libfaketime: apt-get install faketime")
}

/// The daemon's timed tries are put so far off by a slow clock that only the event can be what wakes it, on a busy machine as well.
fn assert_new_route_wakes_the_daemon(family: Family) {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        make_host_key(world);
        let notify = Notify::new(world).expect("a socket");
        let program = "/run/scw-agent-slow";
        copy_program(world, AGENT, program);
        // The library is for the daemon alone.
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
        until(world, "asked for", || (!request_lines(world).is_empty()).then_some(()));
        let took = start.elapsed();
        println!("{family:?}: asked {took:?} after the daemon was started");
        assert!(took < SECOND_ATTEMPT, "{took:?}: that was a timed try");
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
        // It still answers, and what comes now is still noticed in time by the timed tries.
        assert_eq!(userdata(world, &["key"]).code, 5);
        world.set_reach(Family::Ipv4, Reach::Served);
        wait_until_published(world);
        daemon.terminate();
    });
}

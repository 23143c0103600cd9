//! T6: the network coming up is an event, not a poll.

use std::thread::sleep;
use std::time::{Duration, Instant};

use scw_stage::{Family, Reach, World};

use crate::machine::*;

fn a_new_route_wakes_the_daemon(family: Family) {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        make_host_key(world);
        let daemon = start_daemon(world);
        // By now there are four to eight seconds between two tries.
        sleep(Duration::from_secs(10));
        let start = Instant::now();
        world.set_reach(family, Reach::Served);
        published(world);
        let took = start.elapsed();
        println!("{family:?}: published {took:?} after the route was asked for");
        assert!(took < Duration::from_secs(1), "{took:?}: that was a timed try");
        daemon.terminate();
    });
}

#[test]
fn t6_a_new_route_over_ipv4_wakes_the_daemon_long_before_its_next_try() {
    a_new_route_wakes_the_daemon(Family::Ipv4);
}

#[test]
fn t6_a_new_route_over_ipv6_wakes_the_daemon_long_before_its_next_try() {
    a_new_route_wakes_the_daemon(Family::Ipv6);
}

#[test]
fn t6_a_machine_whose_routes_change_all_the_time_is_not_kept_busy() {
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
        published(world);
        daemon.terminate();
    });
}

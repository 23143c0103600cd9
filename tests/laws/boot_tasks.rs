//! What is done once in each boot where it is configured: the state is signalled, and the hostname is requested. The images try the unit
//! that sets it.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use scw_stage::World;
use scw_standin::{Fault, Order};

use crate::machine::*;

const SETTINGS: &str = "/etc/scw-agent.toml";
const BOTH: &str = "[hostname]\nmanage = true\n[signal-state]\nat-boot = \"booted\"\n";
const REQUESTED: &str = "/run/scw-agent-requests/hostname/hostname-requested";
const SIGNALLED: &str = "/run/scw-agent/state-signalled";
const DONE: &str = "/run/scw-agent-hostname/done";

fn signals(world: &World) -> usize {
    request_lines(world).iter().filter(|line| *line == "PATCH /state").count()
}

#[test]
fn boot_tasks_are_done_once_a_boot_and_only_if_set() {
    World::builder().run(|world| {
        make_host_key(world);
        let daemon = start_daemon(world);
        wait_until_settled(world);
        assert_eq!((signals(world), Path::new(REQUESTED).exists()), (0, false), "nothing is the default");
        fs::write(SETTINGS, BOTH).expect("written");
        daemon.signal(Signal::SIGHUP);
        until(world, "signalled", || (signals(world) == 1).then_some(()));
        until(world, "requested", || Path::new(REQUESTED).exists().then_some(()));
        until(world, "noted", || Path::new(SIGNALLED).exists().then_some(()));
        let state = world.standin().conf()["state_detail"].clone();
        assert_eq!(state, "booted");
        daemon.terminate();

        // Root's unit has done its work.
        fs::remove_file(REQUESTED).expect("removed");
        fs::create_dir_all("/run/scw-agent-hostname").expect("made");
        fs::write(DONE, "").expect("written");
        world.standin().clear_requests();
        let daemon = start_daemon(world);
        wait_until_settled(world);
        let looks = || request_lines(world).iter().filter(|line| line.ends_with(FINGERPRINTS)).count();
        let before = looks();
        daemon.signal(Signal::SIGHUP);
        // A round begins when the one before it has ended.
        until(world, "looked again", || (looks() > before).then_some(()));
        assert_eq!((signals(world), Path::new(REQUESTED).exists()), (0, false), "a restart is no boot");
        daemon.terminate();

        world.reboot();
        make_host_key(world);
        fs::write(SETTINGS, BOTH).expect("written");
        world.standin().clear_requests();
        let _daemon = start_daemon(world);
        until(world, "signalled in the next boot", || (signals(world) == 1).then_some(()));
        until(world, "requested in the next boot", || Path::new(REQUESTED).exists().then_some(()));
    });
}

#[test]
fn state_is_signalled_after_the_fingerprints() {
    for fault in [Fault::status(403), Fault::Silent] {
        World::builder().run(|world| {
            make_host_key(world);
            fs::write(SETTINGS, BOTH).expect("written");
            world.standin().set_orders(vec![Order::new(fault).method("PATCH").path("/state")]);
            let daemon = start_daemon(world);
            let is_asked = |line: &str| request_lines(world).iter().any(|asked| asked == line);
            until(world, "signalled", || {
                serve_requests(world);
                is_asked("PATCH /state").then_some(())
            });
            assert!(is_asked(&format!("PATCH /user_data/{FINGERPRINTS}")), "{:?}", request_lines(world));
            let log = "cannot signal the state booted";
            assert!(daemon.wait_for(LONG, |lines| lines.iter().any(|line| line.contains(log))));
            assert_eq!(daemon.output().matches(log).count(), 1, "{}", daemon.output());
        });
    }
}

#[test]
fn d3_hostname_request_is_no_permission() {
    World::builder().run(|world| {
        let before = fs::read_to_string("/etc/hosts").expect("read");
        for (settings, vendor, said) in [
            ("", "Scaleway", "[hostname] manage is false; the hostname is not changed"),
            ("[hostname]\nmanage = true\n", "QEMU", "the hostname is not changed"),
        ] {
            fs::write(SETTINGS, settings).expect("written");
            world.set_dmi(Some(vendor), None);
            // Whatever the daemon's user writes, the unit is not started again because of it.
            sh(
                world,
                &format!("mkdir -p {REQUESTED}/deep; ln -sf loop {REQUESTED}.loop; touch {REQUESTED}.x"),
            );
            world.standin().clear_requests();
            let ended = agent(world, &["hostname", "apply"]);
            assert_eq!((ended.code, ended.err.contains(said)), (0, true), "{}", ended.err);
            let left = fs::read_dir("/run/scw-agent-requests/hostname").expect("listed").flatten();
            let left = left.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b".")).count();
            assert_eq!((left, request_lines(world).len()), (0, 0));
            assert!(!Path::new(DONE).exists(), "a later setting counts in this boot, too");
        }
        assert_eq!(fs::read_to_string("/etc/hosts").expect("read"), before);
        let ended = run(world.command("setpriv").args([
            "--reuid=65534",
            "--clear-groups",
            AGENT,
            "hostname",
            "apply",
        ]));
        assert_eq!(ended.code, 4, "{}", ended.err);
    });
}

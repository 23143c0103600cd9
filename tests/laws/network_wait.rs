//! The first script of a boot waits for the network, up to a limit. A boot in which no script is due does not wait.

use std::fs;
use std::net::UdpSocket;
use std::thread::{sleep, spawn};
use std::time::Duration;

use scw_stage::{Daemon, World};

use crate::machine::*;

/// A local address of the world. For the runner it is a resolver on the network.
const RESOLVER: &str = "192.0.2.10:53";
const SCRIPT: &str = "#!/bin/sh\necho ran >> /var/lib/ran\n";

fn has_run() -> bool {
    fs::exists("/var/lib/ran").expect("checked")
}

fn set_network_wait(time: &str) {
    fs::create_dir_all("/etc/scw-agent.toml.d").expect("made");
    let text = format!("[setup]\nnetwork-wait = \"{time}\"\n");
    fs::write("/etc/scw-agent.toml.d/90-wait.toml", text).expect("written");
}

/// The state of the network in the summary.
fn recorded_network() -> serde_json::Value {
    let summary = fs::read("/run/scw-agent-setup/summary.json").expect("a summary");
    serde_json::from_slice::<serde_json::Value>(&summary).expect("JSON")["network"].clone()
}

/// Answers each DNS query from the resolver's address, with this response code.
fn answer_dns(code: u8) {
    let socket = UdpSocket::bind(RESOLVER).expect("the port is free");
    spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            question[2] |= 0x80;
            question[3] = code;
            let _ = socket.send_to(&question[..length], from);
        }
    });
}

#[test]
fn s1_script_waits_for_route_and_resolver() {
    World::builder().run(|world| {
        set_network_wait("1h");
        world.standin().set_user_data("setup-script", SCRIPT);
        let _ = fs::remove_file("/etc/resolv.conf");
        let mut command = world.command(AGENT);
        let mut runner = Daemon::spawn(command.args(["setup", "run"])).expect("started");
        assert!(
            runner.wait_for(LONG, |lines| lines.iter().any(|line| line.contains("waiting for the network")))
        );
        let still_waits = |runner: &mut Daemon| {
            sleep(Duration::from_secs(2));
            assert!(runner.wait(Duration::ZERO).is_none() && !has_run(), "{}", runner.output());
        };
        still_waits(&mut runner);
        world.set_default_route(true);
        still_waits(&mut runner);
        fs::write("/etc/resolv.conf", "nameserver 192.0.2.10\n").expect("written");
        still_waits(&mut runner);
        answer_dns(0);
        assert_eq!(runner.wait(LONG).and_then(|status| status.code()), Some(0), "{}", runner.output());
        assert!(has_run());
        let output = runner.output();
        assert!(
            output.contains(
                "the network is ready: there is a default route, and the resolver 192.0.2.10 answers"
            ),
            "{output}"
        );
        assert_eq!(
            recorded_network(),
            serde_json::json!({"state": "resolver-answered", "resolver": "192.0.2.10"})
        );

        // No script is due, so the runner does not wait.
        world.set_default_route(false);
        world.reboot();
        let ran = agent(world, &["setup", "run"]);
        assert!(ran.code == 0 && !ran.err.contains("waiting"), "{}", ran.err);
        assert_eq!(recorded_network(), serde_json::Value::Null);
    });
}

#[test]
fn s1_script_starts_when_network_wait_ends() {
    World::builder().run(|world| {
        world.standin().set_user_data("startup-script", SCRIPT);
        let _ = fs::remove_file("/etc/resolv.conf");
        for (route, resolv_conf, why) in [
            (false, "nameserver 192.0.2.10\n", "there is no default route"),
            (true, "search example\n", "there is no nameserver in /etc/resolv.conf"),
            (true, "nameserver 192.0.2.10\n", "no nameserver of /etc/resolv.conf answers (192.0.2.10)"),
        ] {
            if route {
                world.set_default_route(true);
            }
            fs::write("/etc/resolv.conf", resolv_conf).expect("written");
            set_network_wait("1s");
            let _ = fs::remove_file("/var/lib/ran");
            let ran = agent(world, &["setup", "run"]);
            assert!(ran.code == 0 && has_run(), "{}", ran.err);
            assert!(ran.err.contains(&format!("{why}; the scripts start anyway")), "{why}: {}", ran.err);
            assert_eq!(recorded_network(), serde_json::json!({"state": "not-ready", "why": why}));
            if route {
                world.set_default_route(false);
            }
            world.reboot();
        }
        set_network_wait("0s");
        let ran = agent(world, &["setup", "run"]);
        assert!(ran.code == 0 && !ran.err.contains("waiting"), "{}", ran.err);
        assert_eq!(recorded_network(), serde_json::json!({"state": "not-awaited"}));
    });
}

#[test]
fn s1_runner_that_waits_for_network_can_be_stopped() {
    World::builder().run(|world| {
        set_network_wait("1h");
        world.standin().set_user_data("setup-script", SCRIPT);
        let mut command = world.command(AGENT);
        let runner = Daemon::spawn(command.args(["setup", "run"])).expect("started");
        assert!(
            runner.wait_for(LONG, |lines| lines.iter().any(|line| line.contains("waiting for the network")))
        );
        let (status, output) = runner.terminate();
        assert_eq!(status.code(), Some(1), "{output}");
        assert!(!has_run() && !fs::exists("/var/lib/scw-agent/setup/setup-script.json").expect("checked"));
        set_network_wait("0s");
        assert_eq!(agent(world, &["setup", "run"]).code, 0);
        let shown = agent(world, &["setup", "show", "setup-script"]).out;
        assert!(
            shown.contains("(attempt 1)") && shown.lines().count() == 1,
            "the script was not started before the stop: {shown}"
        );
    });
}

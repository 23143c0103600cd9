//! `scw-agent doctor` reports the step that fails, the likely cause, and the remedy.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Instant;

use scw_agent::doctor::{Daemon, Diagnosis, Report};
use scw_agent::local_api;
use scw_stage::{Reach, TcpState, World};
use scw_standin::{Fault, Order, Side};

use crate::machine::*;

/// The report in JSON, and the exit code.
fn report(world: &World) -> (Report, i32) {
    let output = agent(world, &["doctor", "--json"]);
    (serde_json::from_str(&output.out).expect("a report in JSON"), output.code)
}

/// The diagnosis of IPv4 and of IPv6.
fn diagnoses(report: &Report) -> [Option<Diagnosis>; 2] {
    [0, 1].map(|family| report.families[family].failed().and_then(|step| step.diagnosis))
}

#[test]
fn each_state_of_the_network_has_its_diagnosis() {
    // Long enough for a machine that is busy with other tests. Only the silent family waits that long.
    let small = "[metadata]\nconnect-timeout = \"4s\"\n";
    for (ipv4, ipv6, found, code) in [
        (Reach::Served, Reach::Served, [None, None], 0),
        (Reach::Served, Reach::Absent, [None, Some(Diagnosis::NoRoute)], 0),
        (Reach::Absent, Reach::Served, [Some(Diagnosis::NoRoute), None], 0),
        (
            Reach::Refused,
            Reach::Silent,
            [Some(Diagnosis::ConnectionRefused), Some(Diagnosis::ConnectTimeout)],
            5,
        ),
        (Reach::Absent, Reach::Absent, [Some(Diagnosis::NoRoute), Some(Diagnosis::NoRoute)], 5),
    ] {
        World::builder().ipv4(ipv4).ipv6(ipv6).run(|world| {
            std::fs::write("/etc/scw-agent.toml", small).expect("written");
            let (report, ended) = report(world);
            assert_eq!((diagnoses(&report), ended), (found, code), "{ipv4:?} {ipv6:?}: {report:#?}");
        });
    }
}

#[test]
fn each_kind_of_closed_route_has_its_diagnosis() {
    for (kind, found) in [
        ("prohibit", Diagnosis::Prohibited),
        ("blackhole", Diagnosis::BlackHole),
        ("unreachable", Diagnosis::HostUnreachable),
    ] {
        World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
            for service in ["169.254.42.42/32", "fd00:42::42/128"] {
                let added = run(world.command("ip").args(["route", "add", kind, service]));
                assert_eq!(added.code, 0, "{}", added.err);
            }
            let (report, code) = report(world);
            assert_eq!((diagnoses(&report), code), ([Some(found); 2], 5), "{report:#?}");
            assert!(report.verdict.contains(found.cause()), "{}", report.verdict);
        });
    }
}

#[test]
fn each_wrong_answer_has_its_diagnosis() {
    World::builder().ipv6(Reach::Absent).run(|world| {
        for (order, found, code) in [
            (Order::new(Fault::status(403)).path("/user_data*"), Diagnosis::SourcePortChanged, 4),
            (Order::new(Fault::status(400)).path("/user_data*"), Diagnosis::SourcePortChanged, 4),
            // These two paths accept any source port, so their refusal must not be diagnosed as address translation.
            (Order::new(Fault::status(403)).path("/"), Diagnosis::UnexpectedStatus, 6),
            (Order::new(Fault::status(400)).path("/conf*"), Diagnosis::UnexpectedStatus, 6),
            (Order::new(Fault::status(429)), Diagnosis::TooManyRequests, 6),
            (Order::new(Fault::status(503)), Diagnosis::ServerError, 6),
            (Order::new(Fault::status(302)), Diagnosis::Redirect, 6),
            (Order::new(Fault::status(206)), Diagnosis::UnexpectedStatus, 6),
            (Order::new(Fault::Body { text: "<html>".to_owned() }), Diagnosis::AnotherService, 6),
            (
                Order::new(Fault::Body { text: "{\"api\":\"other\"}".to_owned() }).path("/"),
                Diagnosis::AnotherService,
                6,
            ),
            (Order::new(Fault::Garbage), Diagnosis::AnotherService, 6),
            (Order::new(Fault::Drop), Diagnosis::ConnectionLost, 5),
            (Order::new(Fault::AcceptReset), Diagnosis::ConnectionLost, 5),
            (Order::new(Fault::CloseInBody), Diagnosis::ConnectionLost, 5),
            (Order::new(Fault::Silent), Diagnosis::AnswerTimeout, 5),
            (Order::new(Fault::AcceptSilent), Diagnosis::AnswerTimeout, 5),
            (Order::new(Fault::Huge { bytes: 9_000_000, length: true }), Diagnosis::TooLarge, 6),
        ] {
            let what = format!("{order:?}");
            // Only the silent cases wait for the timeout; an answer may take longer on a busy machine.
            let settings = match found {
                Diagnosis::AnswerTimeout => "[metadata]\nheaders-timeout = \"300ms\"\n",
                _ => "",
            };
            std::fs::write("/etc/scw-agent.toml", settings).expect("written");
            world.standin().set_orders(vec![order]);
            let (report, ended) = report(world);
            assert_eq!((diagnoses(&report)[0], ended), (Some(found), code), "{what}: {report:#?}");
        }
    });
}

#[test]
fn doctor_reports_a_missing_right_to_low_ports() {
    World::builder().run(|world| {
        let mut command = world.command("setpriv");
        command.args(["--bounding-set=-all", "--inh-caps=-all", "--"]).arg(AGENT).arg("doctor");
        let output = run(&mut command);
        assert_eq!(output.code, 4, "{}", output.out);
        assert!(output.out.contains("✗ source port") && output.out.contains("root"), "{}", output.out);
        assert_eq!(request_lines(world), [""; 0]);
    });
}

#[test]
fn doctor_reports_that_no_low_port_is_free() {
    World::builder().ipv6(Reach::Absent).run(|world| {
        let pid = std::process::id().to_string();
        let raised = run(world.command("prlimit").args(["--nofile=8192:", "--pid", &pid]));
        assert_eq!(raised.code, 0, "1023 sockets at a time: {}", raised.err);
        let listen = |port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).expect("a free port");
        let taken: Vec<_> = (1..=1023).map(listen).collect();
        let (found, code) = report(world);
        assert_eq!((diagnoses(&found)[0], code), (Some(Diagnosis::NoSourcePort), 5), "{found:#?}");
        drop(taken);
        let (found, code) = report(world);
        assert_eq!((diagnoses(&found)[0], code), (None, 0), "{found:#?}");
    });
}

#[test]
fn doctor_uses_one_connection_for_each_family() {
    World::builder().run(|world| {
        assert_eq!(agent(world, &["doctor"]).code, 0);
        let (connections, requests) = (world.standin().connections(), world.standin().requests());
        assert_eq!(connections.len(), 2, "{connections:#?}");
        for connection in &connections {
            assert_eq!(connection.closed.map(|closed| closed.by), Some(Side::Server), "{connection:?}");
            let asked: Vec<_> = requests
                .iter()
                .filter(|request| request.connection == connection.id)
                .map(|request| (&*request.method, &*request.target, request.header("connection")))
                .collect();
            let expected = [
                ("GET", "/", None),
                ("GET", "/conf?format=json", None),
                ("GET", "/user_data?format=json", Some("close")),
            ];
            assert_eq!(asked, expected);
        }
        assert!(world.tcp_table().iter().all(|entry| entry.state != TcpState::TimeWait));
    });
}

#[test]
fn doctor_reports_a_daemon_that_hangs_and_ends() {
    World::builder().run(|world| {
        std::fs::write("/etc/scw-agent.toml", "[metadata]\nheaders-timeout = \"3s\"\n").expect("written");
        let socket = Path::new(local_api::SOCKET);
        std::fs::create_dir_all(socket.parent().expect("a folder")).expect("made");
        let _never_accepts = UnixListener::bind(socket).expect("a socket");
        let start = Instant::now();
        let (report, code) = report(world);
        assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
        assert_eq!(code, 1, "the service is reachable, the daemon does not answer: {report:#?}");
        assert!(matches!(report.daemon, Daemon::Failed { .. }), "{:?}", report.daemon);
    });
}

#[test]
fn doctor_shows_each_step_and_the_daemon_but_no_value() {
    World::builder().ipv6(Reach::Absent).run(|world| {
        world.standin().set_user_data("a-key", "hunter2");
        let output = agent(world, &["doctor"]).out;
        assert!(output.contains("… daemon"), "{output}");
        let daemon = start_daemon(world);
        let output = agent(world, &["doctor"]).out;
        for row in [
            "✓ route",
            "✓ source port",
            "✓ connect",
            "✓ /  ",
            "✓ /conf",
            "✓ /user_data",
            "1 key ",
            "✓ daemon",
        ] {
            assert!(output.contains(row), "{row:?} is not in {output}");
        }
        assert!(
            output.ends_with("answers over IPv4; IPv6 does not work, but one family is enough\n"),
            "{output}"
        );
        assert!(!output.contains("hunter2") && !output.contains("a-key"), "{output}");
        daemon.terminate();
    });
}

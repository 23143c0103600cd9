//! T1 to T5: each family alone is enough, requests come from a low port, an error page is never a value, and no TIME_WAIT remains.

use scw_stage::{Daemon, Family, Reach, TcpState, World};
use scw_standin::{Fault, Order};

use crate::machine::*;

#[test]
fn t3_either_family_alone_is_enough() {
    use Reach::{Absent, Refused, Served, Silent};
    let (ipv4, ipv6) = (Family::Ipv4, Family::Ipv6);
    for (four, six, expected) in [
        (Served, Served, vec![ipv4, ipv6]),
        (Served, Absent, vec![ipv4]),
        (Absent, Served, vec![ipv6]),
        (Refused, Served, vec![ipv6]),
        (Silent, Served, vec![ipv6]),
        (Served, Silent, vec![ipv4]),
    ] {
        World::builder().ipv4(four).ipv6(six).run(|world| {
            make_host_key(world);
            world.standin().set_user_data("setup-script", "#!/bin/sh\necho over the wire\n");
            let daemon = start_daemon(world);
            wait_until_published(world);
            let ran = agent(world, &["setup", "run"]);
            assert_eq!(ran.code, 0, "{four:?} {six:?}: {}", ran.err);
            assert!(ran.err.contains("over the wire"), "{}", ran.err);
            daemon.terminate();
            for request in world.standin().requests() {
                let family = if request.local.is_ipv4() { ipv4 } else { ipv6 };
                assert!(expected.contains(&family), "{four:?} {six:?}: a request over {family:?}");
                // The settle pass has no right to a low port. It requests only /conf, which needs none.
                let low = request.peer.port() < 1024 || request.target.starts_with("/conf");
                assert!(low, "{} from port {}", request.target, request.peer.port());
            }
        });
    }
}

#[test]
fn t2_user_data_needs_a_low_source_port() {
    World::builder().run(|world| {
        world.standin().set_user_data("key", "value");
        let curl = run(world.command("curl").args([
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "http://169.254.42.42/user_data/key",
        ]));
        assert_eq!(
            curl.out, "403",
            "the stand-in must check source ports, otherwise this test shows nothing"
        );
        let got = userdata(world, &["key"]);
        assert_eq!((got.code, &*got.out), (0, "value"), "{}", got.err);
    });
}

#[test]
fn t2_missing_right_to_low_ports_has_a_remedy() {
    World::builder().run(|world| {
        let mut command = world.command("setpriv");
        command.args(["--bounding-set=-all", "--inh-caps=-all", "--"]).arg(userdata_program()).arg("key");
        let got = run(&mut command);
        assert_eq!(got.code, 4, "{}", got.err);
        assert!(got.err.contains("1024") && got.err.contains("CAP_NET_BIND_SERVICE"), "{}", got.err);
        assert_eq!(request_lines(world), [""; 0]);
    });
}

#[test]
fn t1_error_page_is_never_a_value() {
    for (status, code) in [(403, 4), (400, 6), (302, 6), (206, 6), (429, 6), (500, 6), (503, 6)] {
        World::builder().run(|world| {
            world.standin().set_user_data("key", "value");
            let body = "# For security reason, this looks like data".to_owned();
            let fault = Fault::Status {
                code: status,
                body,
                retry_after: None,
                location: Some("http://192.0.2.1/".to_owned()),
            };
            world.standin().set_orders(vec![Order::new(fault).path("/user_data/*")]);
            for with_daemon in [false, true] {
                let daemon = with_daemon.then(|| start_daemon(world));
                let got = userdata(world, &["key"]);
                assert_eq!((got.code, &*got.out), (code, ""), "{status}, daemon: {with_daemon}: {}", got.err);
                assert!(!got.err.is_empty());
                drop(daemon);
            }
        });
    }
}

#[test]
fn t1_no_proxy_is_honoured() {
    World::builder().run(|world| {
        world.standin().set_user_data("key", "value");
        let mut command = world.command(userdata_program());
        for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env(name, "http://127.0.0.1:9");
        }
        assert_eq!(run(command.arg("key")).out, "value");
    });
}

#[test]
fn t4_one_connection_for_each_program_and_no_time_wait() {
    World::builder().ipv6(Reach::Absent).run(|world| {
        make_host_key(world);
        world.standin().set_user_data("setup-script", "#!/bin/sh\n");
        let daemon = start_daemon(world);
        wait_until_settled(world);
        assert_eq!(agent(world, &["setup", "run"]).code, 0);
        // One connection of the daemon, one of the setup runner and one of the settle pass: root's programs ask the service, not the daemon.
        assert_eq!(world.standin().connections().len(), 3, "{:#?}", request_lines(world));
        daemon.terminate();
        userdata(world, &["setup-script"]);
        let waiting: Vec<_> =
            world.tcp_table().into_iter().filter(|entry| entry.state == TcpState::TimeWait).collect();
        assert!(waiting.is_empty(), "{waiting:?}");
    });
}

#[test]
fn t5_late_service_is_used_and_logged_once() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        make_host_key(world);
        let daemon = start_daemon(world);
        assert!(daemon.wait_for(LONG, |lines| lines.iter().any(|line| line.contains("cannot be reached"))));
        let got = userdata(world, &["key"]);
        assert_eq!(got.code, 5, "{}", got.err);
        assert!(got.err.contains("169.254.42.42") && got.err.contains("fd00:42::42"), "{}", got.err);
        world.set_reach(Family::Ipv4, Reach::Served);
        wait_until_published(world);
        let (status, output) = daemon.terminate();
        assert!(status.success());
        assert_eq!(output.matches("cannot be reached").count(), 1, "{output}");
        assert_eq!(output.matches("the metadata service answers").count(), 1, "{output}");
    });
}

#[test]
fn t1_peer_that_never_stops_sending_is_cut_off() {
    World::builder().run(|world| {
        let endless = |path: &str| vec![Order::new(Fault::Endless).path(path)];
        let wait_until_disconnected = || {
            until(world, "disconnected", || {
                let requests = world.standin().requests();
                let endless: Vec<_> = requests
                    .iter()
                    .filter(|one| one.fault.as_deref() == Some("endless"))
                    .map(|one| one.connection)
                    .collect();
                let connections = world.standin().connections();
                let mut of_them = connections.iter().filter(|one| endless.contains(&one.id));
                (!endless.is_empty() && of_them.all(|one| one.closed.is_some())).then_some(())
            });
        };
        world.standin().set_user_data("key", "value");
        world.standin().set_orders(endless("/user_data/key"));
        let mut command = world.command(userdata_program());
        let mut client = Daemon::spawn(command.arg("key")).expect("started");
        assert_eq!(client.wait(LONG).and_then(|status| status.code()), Some(6), "{}", client.output());
        wait_until_disconnected();

        make_host_key(world);
        world.standin().set_orders(endless("/conf"));
        let daemon = start_daemon(world);
        wait_until_disconnected();
        world.standin().set_orders(Vec::new());
        wait_until_settled(world);
        daemon.terminate();
    });
}

//! H4: when the published value is checked, what the documents say about it, and how a change by another program is noticed.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use scw_stage::{Daemon, Family, Notify, Reach, TcpState, World};
use scw_standin::{Fault, How, Order, RetryAfter, Side};
use serde_json::Value;

use crate::machine::*;

const READ: &str = "GET /user_data/ssh-host-fingerprints";

/// Checks of the published value are this far apart at most, so that the test need not wait for one or so that none comes.
fn set_look_again(time: &str) {
    let settings = format!("[host-keys]\ntypes = [\"ed25519\"]\n[metadata]\nlook-again = \"{time}\"\n");
    fs::write("/etc/scw-agent.toml", settings).expect("written");
}

/// Starts the daemon, and waits until the value is published and everything else is read. Returns the value, too.
fn start_published(world: &World, look_again: &str) -> (Daemon, String) {
    make_host_key(world);
    set_look_again(look_again);
    let daemon = start_daemon(world);
    let value = wait_until_published(world);
    wait_until_settled(world);
    (daemon, value)
}

fn json(world: &World, words: &[&str]) -> Value {
    serde_json::from_str(&agent(world, words).out).unwrap_or_default()
}

fn state(world: &World) -> String {
    json(world, &["status", "--json"])["fingerprints"]["state"].as_str().unwrap_or_default().to_owned()
}

fn answers_with_status(world: &World, status: u16) -> usize {
    world.standin().requests().iter().filter(|request| request.status == Some(status)).count()
}

fn reads(world: &World) -> usize {
    request_lines(world).iter().filter(|line| *line == READ).count()
}

/// Another program writes user data: it deletes all keys that it does not list.
fn set_all_user_data(world: &World) {
    world.standin().delete_user_data(FINGERPRINTS);
    world.standin().set_user_data("cloud-init", "#cloud-config\n");
}

#[test]
fn h4_each_check_is_one_read_closed_by_the_service() {
    for (absent, family) in [(Family::Ipv6, "IPv4"), (Family::Ipv4, "IPv6")] {
        World::builder().run(|world| {
            world.set_reach(absent, Reach::Absent);
            make_host_key(world);
            set_look_again("300ms");
            let daemon = start_daemon(world);
            wait_until_settled(world);
            // The connection of the first round may still be open.
            until(world, "checked", || (reads(world) >= 4).then_some(()));
            let (known, before) = (world.standin().connections().len(), world.standin().requests().len());
            until(world, "checked five times", || {
                (world.standin().requests().len() >= before + 5).then_some(())
            });
            daemon.terminate();
            let requests = world.standin().requests().split_off(before);
            for request in &requests {
                assert_eq!(format!("{} {}", request.method, request.target), READ, "{family}");
                assert_eq!(request.header("connection"), Some("close"), "{family}");
            }
            let connections = world.standin().connections().split_off(known);
            for connection in connections.iter().take(4) {
                let closed = connection.closed.map(|closed| (closed.by, closed.how));
                assert_eq!((connection.requests, closed), (1, Some((Side::Server, How::Fin))), "{family}");
            }
            let waiting = world.tcp_table().into_iter().filter(|entry| {
                entry.state == TcpState::TimeWait && entry.remote.port() == 80 && entry.local.port() < 1024
            });
            assert_eq!(waiting.count(), 0, "{family}: no port below 1024 is left in TIME_WAIT");
        });
    }
}

#[test]
fn h4_change_that_passes_the_daemon_is_corrected_at_once() {
    World::builder().run(|world| {
        let (daemon, value) = start_published(world, "1h");
        let other = "256 SHA256:AAAA x (ED25519)";
        let ways: [(&str, &dyn Fn()); 5] = [
            ("deleted by a program here", &|| {
                assert_eq!(userdata(world, &["--delete", FINGERPRINTS]).code, 0);
            }),
            ("overwritten by a program here", &|| {
                assert_eq!(userdata(world, &[FINGERPRINTS, other]).code, 0);
            }),
            ("deleted elsewhere, then read here", &|| {
                world.standin().delete_user_data(FINGERPRINTS);
                userdata(world, &[FINGERPRINTS]);
            }),
            ("overwritten elsewhere, then read here", &|| {
                world.standin().set_user_data(FINGERPRINTS, other);
                userdata(world, &[FINGERPRINTS]);
            }),
            ("deleted elsewhere, then listed here", &|| {
                world.standin().delete_user_data(FINGERPRINTS);
                userdata(world, &[]);
            }),
        ];
        for (what, change) in ways {
            let start = Instant::now();
            change();
            let is_right = || world.standin().user_data(FINGERPRINTS).as_deref() == Some(value.as_bytes());
            until(world, what, || is_right().then_some(()));
            println!("{what}: correct again after {:?}", start.elapsed());
        }
        daemon.terminate();
    });
}

#[test]
fn h4_reload_checks_at_once() {
    World::builder().run(|world| {
        let (daemon, _) = start_published(world, "1h");
        set_all_user_data(world);
        daemon.signal(nix::sys::signal::Signal::SIGHUP);
        wait_until_published(world);
        daemon.terminate();
    });
}

#[test]
fn h4_no_document_says_published_while_it_is_not() {
    World::builder().run(|world| {
        let (daemon, _) = start_published(world, "1h");
        until(world, "published", || (state(world) == "published").then_some(()));
        assert!(agent(world, &["host-keys", "show"]).code == 0);

        // Nothing can be written, so it stays deleted.
        world.standin().set_orders(vec![Order::new(Fault::status(503)).method("PATCH")]);
        set_all_user_data(world);
        until(world, "seen as missing", || {
            let (status, shown) = (json(world, &["status", "--json"]), agent(world, &["host-keys", "show"]));
            let keys = json(world, &["host-keys", "show", "--json"]);
            assert_ne!(status["fingerprints"]["state"], "published");
            assert_ne!(keys[0]["published"], true, "{keys}");
            assert!(!shown.out.contains("✓ published"), "{}", shown.out);
            let waited = agent(world, &["status", "--wait", "--timeout", "1ms"]);
            assert_ne!(waited.code, 0, "{}", waited.out);
            let doctor = agent(world, &["doctor"]);
            assert!(!doctor.out.contains("; fingerprints published"), "{}", doctor.out);
            (status["fingerprints"]["state"] == "failed").then_some(())
        });
        let shown = agent(world, &["host-keys", "show"]);
        assert!(shown.code == 1 && shown.out.starts_with("✗ not published"), "{}: {}", shown.code, shown.out);
        let keys = agent(world, &["host-keys", "show", "--json"]);
        assert!(keys.code == 1 && keys.out.contains("\"published\":false"), "{}: {}", keys.code, keys.out);

        world.standin().set_orders(vec![]);
        until(world, "published", || (agent(world, &["host-keys", "show"]).code == 0).then_some(()));
        assert_eq!(agent(world, &["status", "--wait"]).code, 0);
        daemon.terminate();
    });
}

#[test]
fn h4_question_makes_the_daemon_check_and_correct() {
    World::builder().run(|world| {
        let (daemon, value) = start_published(world, "1h");
        for question in [&["status"][..], &["host-keys", "show"], &["doctor"], &["status", "--wait"]] {
            set_all_user_data(world);
            // Checks on request are five seconds apart, so the first answer may be one without a check.
            until(world, "corrected", || {
                agent(world, question);
                (world.standin().user_data(FINGERPRINTS).as_deref() == Some(value.as_bytes())).then_some(())
            });
        }
        daemon.terminate();
    });
}

#[test]
fn h4_questions_cause_at_most_one_check_in_5_s() {
    World::builder().run(|world| {
        let (daemon, _) = start_published(world, "1h");
        let (start, before) = (Instant::now(), reads(world));
        for _ in 0..5 {
            let ask = |_| world.command(AGENT).arg("status").stdout(Stdio::null()).spawn().expect("started");
            let asking: Vec<_> = (0..8).map(ask).collect();
            for mut child in asking {
                child.wait().expect("ended");
            }
        }
        let (made, seconds) = (reads(world) - before, start.elapsed().as_secs_f64());
        println!("40 questions in {seconds:.1} s caused {made} checks");
        assert!(made as f64 <= 1.0 + seconds / 5.0, "{made} checks in {seconds} s");
        // A document that was not checked gives the age of the knowledge. Hints do not cause a check.
        let known = until(world, "not checked", || {
            let document = json(world, &["status", "--json"]);
            (document["fingerprints"]["state"] == "not-checked").then_some(document)
        });
        assert!(known["fingerprints"]["age_ms"].as_u64().is_some_and(|age| age < 600_000), "{known}");
        let text = agent(world, &["status"]);
        assert!(text.code == 0 && text.out.contains("fingerprints  published "), "{}", text.out);
        let before = reads(world);
        agent(world, &["setup", "list"]);
        assert_eq!(reads(world), before);
        daemon.terminate();
    });
}

#[test]
fn h4_refused_checks_come_less_often_and_the_status_says_so() {
    World::builder().run(|world| {
        make_host_key(world);
        set_look_again("1s");
        let notify = Notify::new(world).expect("a socket");
        let mut command = world.agent_command(AGENT);
        let daemon = Daemon::spawn(command.arg("daemon").env("NOTIFY_SOCKET", notify.path()));
        let daemon = daemon.expect("started");
        wait_until_published(world);
        wait_until_settled(world);
        let refusal = Fault::Status {
            code: 429,
            body: String::new(),
            retry_after: Some(RetryAfter::Seconds(3600)),
            location: None,
        };
        world.standin().set_orders(vec![Order::new(refusal)]);
        let refused = |world: &World| answers_with_status(world, 429);
        let document = until(world, "refused", || {
            let document = json(world, &["status", "--json"]);
            let why = document["fingerprints"]["why"].as_str().unwrap_or_default().to_owned();
            why.contains("429").then_some(document)
        });
        assert_eq!(document["fingerprints"]["state"], "not-checked", "{document}");
        assert!(
            document["fingerprints"]["why"]
                .as_str()
                .is_some_and(|why| why.contains("the next check is at 2"))
        );
        assert_eq!(document["problems"], serde_json::json!([]), "{document}");
        // What the service asked for is kept, also when somebody asks.
        let before = refused(world);
        for _ in 0..10 {
            let waited = agent(world, &["status", "--wait", "--timeout", "1s"]);
            assert!(waited.code == 5 && waited.err.contains("429"), "{}: {}", waited.code, waited.err);
        }
        assert_eq!(refused(world), before);
        // No line of systemd's status says more than was checked.
        let lines = notify.messages().into_iter().filter(|line| line.contains("fingerprints published"));
        assert!(lines.clone().count() > 0 && lines.clone().all(|line| line.contains("last checked 2")));
        let (_, log) = daemon.terminate();
        assert!(log.lines().filter(|line| line.contains("429")).count() <= 1, "{log}");
    });
}

#[test]
fn t5_endless_key_changes_cause_few_checks() {
    World::builder().run(|world| {
        let (daemon, _) = start_published(world, "1h");
        let (before, start) = (reads(world), Instant::now());
        // A program that writes beside the keys all the time.
        while start.elapsed() < Duration::from_secs(20) {
            fs::write("/etc/ssh/moduli", format!("{:?}", start.elapsed())).expect("written");
            std::thread::sleep(Duration::from_millis(50));
        }
        let most = 2 + start.elapsed().as_secs() / 3;
        let checks = reads(world) - before;
        assert!(checks as u64 <= most, "{checks} checks");
        // The last change is not forgotten.
        let before = reads(world);
        fs::write("/etc/ssh/moduli", "the last").expect("written");
        until(world, "a check", || (reads(world) > before).then_some(()));
        daemon.terminate();
    });
}

#[test]
fn h4_key_change_while_refused_is_shown_and_asks_nothing() {
    World::builder().run(|world| {
        let (daemon, _) = start_published(world, "1h");
        let mut refusal = Fault::status(429);
        if let Fault::Status { retry_after, .. } = &mut refusal {
            *retry_after = Some(RetryAfter::Seconds(3600));
        }
        world.standin().set_orders(vec![Order::new(refusal)]);
        until(world, "refused", || {
            json(world, &["status", "--json"]);
            (answers_with_status(world, 429) > 0).then_some(())
        });
        let before = request_lines(world).len();
        sh(world, "rm /etc/ssh/ssh_host_*");
        keygen(world, "ed25519", "new", "/etc/ssh/ssh_host_ed25519_key");
        let new = run(world.command("ssh-keygen").args(["-lf", "/etc/ssh/ssh_host_ed25519_key"])).out;
        let fingerprint = new.split(' ').nth(1).expect("a fingerprint");
        until(world, "the new key", || {
            serve_requests(world);
            let document = json(world, &["status", "--json"]);
            assert_ne!(document["fingerprints"]["state"], "published", "{document}");
            document["host_keys"].to_string().contains(fingerprint).then_some(())
        });
        assert_eq!(request_lines(world).len(), before, "{:?}", request_lines(world));
        daemon.terminate();
    });
}

#[test]
fn h4_questions_do_not_make_the_retry_delay_longer() {
    World::builder().run(|world| {
        let (daemon, _) = start_published(world, "2s");
        // Refused for good: the first delays are 30 to 60 s, and each is longer than the one before.
        world.standin().set_orders(vec![Order::new(Fault::status(403))]);
        until(world, "refused", || (state(world) == "failed").then_some(()));
        let start = Instant::now();
        let next = |world: &World| answers_with_status(world, 403);
        let before = next(world);
        until(world, "asked about many times", || {
            agent(world, &["status"]);
            (next(world) >= before + 4).then_some(())
        });
        world.standin().set_orders(vec![]);
        world.standin().delete_user_data(FINGERPRINTS);
        // Nobody asks any more. With delays that each question had made longer, this would take minutes.
        wait_until_published(world);
        println!("published again {:?} after the first refusal", start.elapsed());
        daemon.terminate();
    });
}

#[test]
fn h4_short_wait_succeeds_directly_after_another_question() {
    World::builder().run(|world| {
        let (daemon, _) = start_published(world, "1h");
        for _ in 0..2 {
            agent(world, &["status"]);
            let waited = agent(world, &["status", "--wait", "--timeout", "1s"]);
            assert_eq!(waited.code, 0, "{}{}", waited.out, waited.err);
            assert!(waited.out.contains("✓ fingerprints"), "{}", waited.out);
        }
        daemon.terminate();
    });
}

#[test]
fn h4_same_lines_in_another_order_are_left_alone() {
    World::builder().run(|world| {
        agent(world, &["host-keys", "ensure"]);
        fs::write("/etc/scw-agent.toml", "[metadata]\nlook-again = \"200ms\"\n").expect("written");
        let daemon = start_daemon(world);
        let value = wait_until_published(world);
        wait_until_settled(world);
        let mut lines: Vec<_> = value.split('\n').collect();
        lines.reverse();
        let other = lines.join("\n");
        world.standin().set_user_data(FINGERPRINTS, &*other);
        let before = reads(world);
        until(world, "checked", || (reads(world) >= before + 5).then_some(()));
        until(world, "published", || (state(world) == "published").then_some(()));
        daemon.terminate();
        assert_eq!(world.standin().user_data(FINGERPRINTS).as_deref(), Some(other.as_bytes()));
        assert_eq!(request_lines(world).iter().filter(|line| line.starts_with("PATCH")).count(), 1);
    });
}

#[test]
fn h4_unreachable_service_leaves_the_age_of_the_knowledge() {
    World::builder().run(|world| {
        let (daemon, _) = start_published(world, "1s");
        for family in [Family::Ipv4, Family::Ipv6] {
            world.set_reach(family, Reach::Silent);
        }
        let start = Instant::now();
        let document = until(world, "unreachable", || {
            let document = json(world, &["status", "--json"]);
            (document["metadata"]["state"] == "unreachable").then_some(document)
        });
        assert_eq!(document["fingerprints"]["state"], "not-checked", "{document}");
        let age = Duration::from_millis(document["fingerprints"]["age_ms"].as_u64().expect("an age"));
        assert!(age <= start.elapsed() + Duration::from_secs(60), "{age:?}");
        let shown = agent(world, &["host-keys", "show"]);
        assert!(shown.code == 0 && shown.out.starts_with("… not checked"), "{}: {}", shown.code, shown.out);
        daemon.terminate();
    });
}

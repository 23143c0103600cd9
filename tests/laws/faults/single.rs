//! Faults outside of the matrix: a fault of one family only, no service at all, each timeout, and retries.

use std::time::{Duration, Instant};

use scw_stage::{Family, Reach, World};
use scw_standin::{Fault, Order, RetryAfter};

use super::SHORT;
use crate::machine::*;

fn request_count(world: &World) -> usize {
    world.standin().requests().len()
}

fn configure(text: &str) {
    std::fs::write(scw_agent::settings::FILE, text).expect("written");
}

/// A world with IPv4 only and one key in user data.
fn world_with_a_key(test: impl FnOnce(&World) + Send) {
    World::builder().ipv6(Reach::Absent).run(|world| {
        world.standin().set_user_data("key", "value");
        test(world);
    });
}

#[test]
fn t3_failing_family_is_replaced_by_the_other() {
    let faults = [
        Fault::Drop,
        Fault::Reset,
        Fault::Silent,
        Fault::CloseInHeaders,
        Fault::CloseInBody,
        Fault::LongLength,
    ];
    World::builder().run(|world| {
        configure(SHORT);
        world.standin().set_user_data("key", "value");
        for fault in faults {
            for family in [Family::Ipv4, Family::Ipv6] {
                // The other family must be used whether the faulty one is tried first or not.
                world.standin().set_orders(vec![Order::new(fault.clone()).family(family)]);
                world.standin().clear_requests();
                let got = userdata(world, &["key"]);
                let case = format!("{} on {family:?}", fault.name());
                assert_eq!((got.code, &*got.out), (0, "value"), "{case}: {}", got.err);
                let asked = world.standin().requests();
                let faulty =
                    asked.iter().filter(|asked| asked.local.is_ipv4() == (family == Family::Ipv4)).count();
                assert!(faulty <= 1 && asked.len() == faulty + 1, "{case}: {asked:#?}");
            }
        }
    });
}

#[test]
fn t1_unreachable_service_is_reported_for_both_families() {
    use Reach::{Absent, Refused, Silent};
    for (ipv4, ipv6) in
        [(Silent, Silent), (Absent, Absent), (Refused, Refused), (Silent, Absent), (Refused, Silent)]
    {
        World::builder().ipv4(ipv4).ipv6(ipv6).run(|world| {
            configure(SHORT);
            let start = Instant::now();
            let got = userdata(world, &["key"]);
            assert_eq!(
                (got.code, &*got.out, request_count(world)),
                (5, "", 0),
                "{ipv4:?}, {ipv6:?}: {}",
                got.err
            );
            assert!(got.err.contains("169.254.42.42") && got.err.contains("fd00:42::42"), "{}", got.err);
            assert!(start.elapsed() < LONG, "{ipv4:?}, {ipv6:?}: {:?}", start.elapsed());
        });
    }
}

#[test]
fn t1_each_timeout_is_kept_and_reported() {
    let slow_body = || Fault::Slow { bytes: 1000, ms: 700 };
    for (setting, fault, message) in [
        ("headers-timeout", Fault::Silent, "did not send an answer within 3s"),
        ("body-timeout", slow_body(), "did not send the rest of the answer within 3s"),
        ("whole-timeout", Fault::Silent, "did not send a complete answer within 3s"),
        ("whole-timeout", slow_body(), "did not send a complete answer within 3s"),
    ] {
        world_with_a_key(|world| {
            configure(&format!("[metadata]\n{setting} = \"3s\"\n"));
            world.standin().set_user_data("key", "x".repeat(100_000));
            world.standin().set_orders(vec![Order::new(fault)]);
            let start = Instant::now();
            let got = userdata(world, &["key"]);
            assert_eq!((got.code, &*got.out, request_count(world)), (5, "", 1), "{setting}: {}", got.err);
            assert!(got.err.contains(message), "{setting}: {}", got.err);
            assert!(start.elapsed() < LONG, "{setting}: {:?}", start.elapsed());
        });
    }
}

#[test]
fn t1_malformed_key_list_is_an_error_for_json() {
    world_with_a_key(|world| {
        for text in ["", "USER_DATA=0", "{}", "[]", "{\"user_data\":\"key\"}", "{\"user_data\":["] {
            world.standin().set_orders(vec![Order::new(Fault::Body { text: text.to_owned() })]);
            let listed = userdata(world, &["--json"]);
            assert_eq!((listed.code, &*listed.out), (6, ""), "{text}: {}", listed.err);
            assert!(listed.err.contains("is malformed"), "{text}: {}", listed.err);
        }
    });
}

#[test]
fn unusable_names_in_a_key_list_are_skipped() {
    world_with_a_key(|world| {
        for (text, listed) in [
            ("{\"user_data\":null}", "[]"),
            ("{\"user_data\":[1,\"key\",null,\"a/b\",\"\",\"..\",\"key\"],\"new\":{}}", "[\"a/b\",\"key\"]"),
        ] {
            world.standin().set_orders(vec![Order::new(Fault::Body { text: text.to_owned() })]);
            let got = userdata(world, &["--json"]);
            assert_eq!(
                (got.code, got.out),
                (0, format!("{{\"user_data\":{listed}}}\n")),
                "{text}: {}",
                got.err
            );
        }
    });
}

#[test]
fn t1_daemon_passes_on_no_partial_value() {
    world_with_a_key(|world| {
        let daemon = start_daemon(world);
        for (fault, code) in [
            (Fault::ShortLength, 6),
            (Fault::ChunkedGarbage, 6),
            (Fault::LongLength, 5),
            (Fault::CloseInBody, 5),
        ] {
            let name = fault.name();
            world.standin().set_orders(vec![Order::new(fault).path("/user_data/key")]);
            let got = userdata(world, &["key"]);
            assert_eq!((got.code, &*got.out), (code, ""), "{name}: {}", got.err);
        }
        world.standin().set_orders(Vec::new());
        assert_eq!(userdata(world, &["key"]).out, "value", "no fault remains");
        daemon.terminate();
    });
}

#[test]
fn t5_short_failure_is_retried_and_a_lasting_one_ends() {
    let status = |code, retry_after| Fault::Status { code, body: String::new(), retry_after, location: None };
    for code in [429, 500, 503] {
        world_with_a_key(|world| {
            world.standin().set_orders(vec![Order::new(status(code, None)).nth("1")]);
            let got = userdata(world, &["key"]);
            assert_eq!((got.code, &*got.out, request_count(world)), (0, "value", 2), "{code}: {}", got.err);
        });
    }
    world_with_a_key(|world| {
        world.standin().set_orders(vec![Order::new(status(503, None))]);
        let start = Instant::now();
        let got = userdata(world, &["key"]);
        assert_eq!((got.code, &*got.out), (6, ""), "{}", got.err);
        assert!((2..=3).contains(&request_count(world)), "{:?}", request_lines(world));
        assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
    });
}

#[test]
fn t5_retry_after_of_the_service_is_respected() {
    let order = |retry_after| {
        Order::new(Fault::Status {
            code: 429,
            body: String::new(),
            retry_after: Some(retry_after),
            location: None,
        })
    };
    world_with_a_key(|world| {
        world.standin().set_orders(vec![order(RetryAfter::Seconds(1)).nth("1")]);
        let got = userdata(world, &["key"]);
        let at: Vec<_> = world.standin().requests().iter().map(|request| request.at).collect();
        assert_eq!((got.code, at.len()), (0, 2), "{}", got.err);
        assert!(at[1] - at[0] >= Duration::from_secs(1), "{at:?}");
        // Longer than a command waits: as a number of seconds, and as a date.
        let date = "Fri, 31 Dec 2399 23:59:59 GMT".to_owned();
        for late in [RetryAfter::Seconds(3600), RetryAfter::Seconds(u64::MAX), RetryAfter::Date(date)] {
            world.standin().clear_requests();
            world.standin().set_orders(vec![order(late.clone())]);
            let got = userdata(world, &["key"]);
            assert_eq!((got.code, request_count(world)), (6, 1), "{late}: {}", got.err);
        }
    });
}

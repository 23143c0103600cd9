//! C1, C3: whatever the API answers, a key that is not published gets no trust, and each run ends with at most one line.

use std::fs;

use scw_standin::{Fault, Order, RetryAfter};

use crate::desk::*;

/// Faults of the stand-in, as a hostile or broken API.
fn faults() -> Vec<Fault> {
    let status = |code, location: Option<&str>| Fault::Status {
        code,
        body: "<html>\u{1b}[31m</html>".to_owned(),
        retry_after: Some(RetryAfter::Seconds(9999)),
        location: location.map(str::to_owned),
    };
    let body = |text: &str| Fault::Body { text: text.to_owned() };
    let escaped = r#"{"server":{"id":"daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86","name":"\u001b[31m\u202e","public_ips":[]}}"#;
    vec![
        Fault::Refuse,
        Fault::AcceptSilent,
        Fault::AcceptReset,
        Fault::Drop,
        Fault::Reset,
        Fault::Silent,
        Fault::Delay { ms: 600_000 },
        Fault::CloseInHeaders,
        Fault::CloseInBody,
        Fault::ShortLength,
        Fault::LongLength,
        Fault::Chunked,
        Fault::ChunkedGarbage,
        Fault::Garbage,
        Fault::Huge { bytes: 100_000_000, length: false },
        Fault::ManyHeaders { count: 5000 },
        Fault::HugeHeader { bytes: 1_000_000 },
        Fault::Slow { bytes: 1, ms: 1000 },
        Fault::CloseAfter,
        Fault::CloseToClient,
        Fault::Endless,
        status(301, Some("https://169.254.42.42/elsewhere")),
        status(401, None),
        status(403, None),
        status(404, None),
        status(429, None),
        status(500, None),
        status(501, None),
        body(""),
        body("{}"),
        body("[[[[[["),
        body(
            r#"{"server":{"id":"11111111-2222-4333-8444-555555555555","name":"x","public_ips":[{"address":"51.15.68.77"}]}}"#,
        ),
        body(r#"{"servers":[],"ips":[],"total_count":0}"#),
        body(&escaped.replace("[]", r#"[{"address":"51.15.68.77"}]"#)),
        body(escaped),
    ]
}

#[test]
fn c1_c3_no_answer_of_the_api_gives_trust() {
    at_desk(|desk| {
        desk.client_ok(&["setup"]);
        let key = fs::read_to_string("/etc/ssh/ssh_host_ed25519_key.pub").expect("the key");
        let key = key.split(' ').nth(1).expect("a key").to_owned();
        let line = format!("{ADDRESS} ssh-ed25519 {key}\n");
        let check = |desk: &Desk| {
            let tokens = ["HOSTNAME", ADDRESS, ADDRESS, ADDRESS, "22", "ssh-ed25519", &key];
            desk.client(&[&["check", "--declared=51.15.*"][..], &tokens].concat())
        };
        for is_published in [true, false] {
            if !is_published {
                desk.publish_another();
            }
            for fault in faults() {
                desk.world.standin().set_orders(vec![Order::new(fault.clone())]);
                let ran = check(desk);
                let is_trusted = ran.code == 0 && ran.out == line && ran.err.is_empty();
                let is_refused = ran.code != 0 && ran.out.is_empty() && ran.err.contains("refused");
                assert!(is_refused || (is_trusted && is_published), "{fault:?}: {ran:?}");
                let is_line = ran.err.chars().all(|c| matches!(c, ' '..='~' | '\n'))
                    && ran.err.matches('\n').count() < 2;
                assert!(is_line, "{fault:?}: {ran:?}");
                assert!(desk.asked().iter().all(|path| path != "/elsewhere"), "{fault:?}");
            }
            desk.world.standin().set_orders(Vec::new());
            assert_eq!(check(desk).code == 0, is_published);
        }
    });
}

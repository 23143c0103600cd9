//! Faults on the public API, seen by curl through TLS.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use scw_standin::{Fault, OWNER_TOKEN, Options, Order, PublicApi, RetryAfter, Standin};

use crate::client::{eventually, local};

#[test]
fn faults_are_made_on_the_public_api_too() {
    let authority = Path::new(env!("CARGO_TARGET_TMPDIR")).join("authority-faults.pem");
    // An address of its own: while connections to it are refused, nobody else listens there.
    let listen = "127.0.0.7:0".parse().expect("an address");
    let public_api = PublicApi { listen, authority: Some(authority.clone()), tokens: BTreeMap::new() };
    let standin = Standin::start(Options { public_api: Some(public_api), ..local() }).expect("started");
    let port = standin.addresses()[1].port();
    // The exit code of curl and the status that it saw.
    let curl = |scheme: &str, seconds: &str| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--noproxy", "*", "--max-time", seconds, "--cacert"]).arg(&authority);
        command.args(["--resolve", &format!("localhost:{port}:127.0.0.7"), "--output", "/dev/null"]);
        command.args(["--header", &format!("X-Auth-Token: {OWNER_TOKEN}")]);
        command.args(["--write-out", "%{http_code} %header{retry-after}"]);
        command.arg(format!("{scheme}://localhost:{port}/instance/v1/zones/nl-ams-1/servers"));
        let ran = command.output().expect("curl");
        (ran.status.code().expect("a code"), String::from_utf8_lossy(&ran.stdout).trim().to_owned())
    };
    let status = |code, retry_after| Fault::Status { code, body: String::new(), retry_after, location: None };
    // The exit code 18 is a body that is too short, 28 is too late.
    for (fault, seconds, code, seen) in [
        (status(429, Some(RetryAfter::Seconds(7))), "300", 0, "429 7"),
        (status(501, None), "300", 0, "501"),
        (Fault::Delay { ms: 20 }, "300", 0, "200"),
        (Fault::Slow { bytes: 500, ms: 1 }, "300", 0, "200"),
        (Fault::CloseInBody, "300", 18, "200"),
        (Fault::Silent, "3", 28, "000"),
    ] {
        standin.clear_requests();
        standin.set_orders(vec![Order::new(fault.clone())]);
        assert_eq!(curl("https", seconds), (code, seen.to_owned()), "{fault:?}");
        let recorded = standin.requests().pop().and_then(|request| request.fault);
        assert!(
            recorded
                .is_some_and(|name| format!("{fault:?}").to_lowercase().starts_with(&name.replace('-', "")))
        );
    }
    standin.set_orders(vec![Order::new(Fault::AcceptSilent)]);
    assert_eq!(curl("https", "3").0, 28);
    assert_eq!(standin.connections().pop().and_then(|last| last.fault).as_deref(), Some("accept-silent"));
    standin.set_orders(vec![Order::new(Fault::Refuse)]);
    assert_eq!(curl("https", "300").0, 7);
    standin.set_orders(Vec::new());
    assert_eq!(curl("https", "300"), (0, "200".to_owned()));
    // A request without TLS gets no answer.
    assert_ne!(curl("http", "300").0, 0);
    let error = || standin.connections().pop().and_then(|last| last.error).unwrap_or_default();
    eventually("the failed handshake is recorded", || error().starts_with("TLS: "));
}

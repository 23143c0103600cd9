//! Faults on the public API, seen by curl through TLS.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use scw_standin::{Fault, OWNER_TOKEN, Options, Order, PublicApi, RetryAfter, Standin};

use crate::client::local;

#[test]
fn faults_are_made_on_the_public_api_too() {
    let authority = Path::new(env!("CARGO_TARGET_TMPDIR")).join("authority-faults.pem");
    let listen = "127.0.0.1:0".parse().expect("an address");
    let public_api = PublicApi { listen, authority: Some(authority.clone()), tokens: BTreeMap::new() };
    let standin = Standin::start(Options { public_api: Some(public_api), ..local() }).expect("started");
    let port = standin.addresses()[1].port();
    // The exit code of curl and the status that it saw.
    let curl = |scheme: &str, seconds: &str| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--noproxy", "*", "--max-time", seconds, "--cacert"]).arg(&authority);
        command.args(["--header", &format!("X-Auth-Token: {OWNER_TOKEN}"), "--output", "/dev/null"]);
        command.args(["--write-out", "%{http_code} %header{retry-after}"]);
        command.arg(format!("{scheme}://localhost:{port}/instance/v1/zones/nl-ams-1/servers"));
        let ran = command.output().expect("curl");
        (ran.status.code().expect("a code"), String::from_utf8_lossy(&ran.stdout).trim().to_owned())
    };
    let status = |code, retry_after| Fault::Status { code, body: String::new(), retry_after, location: None };
    for (fault, seconds, code, seen) in [
        (None, "300", 0, "200"),
        (Some(status(429, Some(RetryAfter::Seconds(7)))), "300", 0, "429 7"),
        (Some(status(501, None)), "300", 0, "501"),
        (Some(Fault::Delay { ms: 20 }), "300", 0, "200"),
        (Some(Fault::Slow { bytes: 500, ms: 1 }), "300", 0, "200"),
        (Some(Fault::CloseInBody), "300", 18, "200"),
        (Some(Fault::Silent), "1", 28, "000"),
        (Some(Fault::AcceptSilent), "1", 28, "000"),
        (Some(Fault::Refuse), "300", 7, "000"),
    ] {
        standin.set_orders(fault.clone().map(Order::new).into_iter().collect());
        assert_eq!(curl("https", seconds), (code, seen.to_owned()), "{fault:?}");
    }
    standin.set_orders(Vec::new());
    // A request without TLS gets no answer.
    assert_ne!(curl("http", "300").0, 0);
    let connection = standin.connections().pop().expect("a connection");
    assert!(connection.error.is_some_and(|error| error.starts_with("TLS: ")));
    let recorded: Vec<_> =
        standin.requests().iter().map(|request| (request.status, request.fault.clone())).collect();
    assert!(recorded.contains(&(Some(429), Some("status".to_owned()))), "{recorded:?}");
    assert!(recorded.contains(&(Some(200), Some("delay".to_owned()))), "{recorded:?}");
}

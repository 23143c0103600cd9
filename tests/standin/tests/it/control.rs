//! Tests of the control socket, as another program uses it.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use scw_standin::{Options, Standin};
use serde_json::{Value, json};

use crate::client::{Client, local, start_with};
use crate::program::Folder;

fn with_control(name: &str) -> (Folder, PathBuf, Standin, Client<UnixStream>) {
    let folder = Folder::new(name);
    let path = folder.file("control");
    let (standin, _) = start_with(Options { control: Some(path.clone()), ..local() });
    let client = connect(&path);
    (folder, path, standin, client)
}

pub(crate) fn connect(path: &Path) -> Client<UnixStream> {
    Client::new(UnixStream::connect(path).expect("the control socket"))
}

fn json_of(client: &mut Client<UnixStream>, target: &str) -> Value {
    serde_json::from_slice(&client.get(target).body).expect("JSON")
}

#[test]
fn requests_and_connections_are_listed_and_cleared() {
    let (_folder, _, standin, mut control) = with_control("listed");
    let address = standin.addresses()[0];
    let mut client = Client::connect(address);
    client.get("/conf?format=json");
    client.call("PATCH", "/state", b"\xff");
    let requests = json_of(&mut control, "/requests");
    let expected = json!({
        "at_ms": requests[0]["at_ms"], "connection": 1, "local": address.to_string(),
        "peer": client.stream.local_addr().unwrap().to_string(), "method": "GET",
        "target": "/conf?format=json", "headers": [["Host", "x"]], "body": "",
        "body_percent_encoded": null, "status": 200, "fault": null,
    });
    assert_eq!(requests[0], expected);
    assert_eq!((&requests[1]["body"], &requests[1]["body_percent_encoded"]), (&json!(null), &json!("%FF")));
    let connections = json_of(&mut control, "/connections");
    assert_eq!((&connections[0]["requests"], &connections[0]["closed"]), (&json!(2), &json!(null)));
    assert_eq!(control.call("DELETE", "/requests", b"").status, 204);
    assert_eq!(json_of(&mut control, "/requests"), json!([]));
}

#[test]
fn orders_are_replaced_and_removed() {
    let (_folder, _, standin, mut control) = with_control("orders");
    let address = standin.addresses()[0];
    let orders = b"[[order]]\npath = \"/conf\"\nfault.status = { code = 429, retry_after = 2 }\n";
    assert_eq!(control.call("PUT", "/orders", orders).status, 204);
    let answer = Client::connect(address).get("/conf");
    assert_eq!((answer.status, answer.header("Retry-After")), (429, Some("2")));
    assert_eq!(control.call("PUT", "/orders", b"[[order]]\nfault = \"refuse\"\n").status, 204);
    assert!(std::net::TcpStream::connect(address).is_err());
    assert_eq!(control.call("DELETE", "/orders", b"").status, 204);
    assert_eq!(Client::connect(address).get("/conf").status, 200);
    let answer = control.call("PUT", "/orders", b"[[order]]\nfault = \"nonsense\"\n");
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("nonsense") && answer.text().contains("line 2"), "{}", answer.text());
}

#[test]
fn user_data_and_conf_can_be_changed_from_any_port() {
    let (_folder, _, standin, mut control) = with_control("data");
    assert_eq!(control.call("PUT", "/user_data/a%20b", b"v").status, 204);
    assert_eq!(standin.user_data("a b").as_deref(), Some(&b"v"[..]));
    assert_eq!(control.get("/user_data/a%20b").text(), "v");
    assert_eq!(control.call("DELETE", "/user_data/a%20b", b"").status, 204);
    assert_eq!(control.get("/user_data/a%20b").status, 404);
    assert_eq!(control.call("PUT", "/conf", b"{\"id\":\"x\"}").status, 204);
    assert_eq!(standin.conf(), json!({"id": "x"}));
    assert_eq!(control.call("PUT", "/conf", b"{").status, 400);
    assert_eq!(control.get("/nothing").status, 404);
    assert!(standin.requests().is_empty(), "requests to the control socket are not recorded");
}

#[test]
fn curl_can_use_the_control_socket() {
    let (_folder, path, standin, _) = with_control("curl");
    let curl = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--noproxy", "*", "--unix-socket"])
        .arg(&path)
        .args(["--request", "PUT", "--data-binary", "from curl", "http://x/user_data/k"])
        .status();
    match curl {
        Ok(status) => assert!(status.success()),
        Err(error) => return eprintln!("not tested: curl is missing: {error}"),
    }
    assert_eq!(standin.user_data("k").as_deref(), Some(&b"from curl"[..]));
}

#[test]
fn stale_control_socket_is_replaced_a_live_one_kept() {
    let folder = Folder::new("left");
    let path = folder.file("control");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let options = Options { control: Some(path.clone()), ..local() };
    let standin = Standin::start(options.clone()).unwrap();
    assert!(Standin::start(options).is_err());
    assert_eq!(connect(&path).get("/requests").status, 200);
    drop(standin);
    assert!(!path.exists());
}

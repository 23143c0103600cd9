//! Tests of the Metadata API: paths, methods, source ports, and both forms of a document.

use scw_standin::{Dialect, EmptyValue, HighPort, Options, PatchStatus, fixture};
use serde_json::{Value, json};

use crate::client::{Client, local, start, start_with};

#[test]
fn root_identifies_the_api() {
    let (_standin, address) = start(vec![]);
    let answer = Client::connect(address).get("/");
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/json")));
    let value: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&value["api"], &value["version"]), (&json!("api-metadata"), &json!("12.23.0")));
}

#[test]
fn conf_has_a_json_and_a_text_form() {
    let (standin, address) = start(vec![]);
    let mut client = Client::connect(address);
    let answer = client.get("/conf?format=json");
    assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap(), fixture());
    let answer = client.get("/conf");
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("text/plain")));
    let lines: Vec<_> = answer.text().lines().collect();
    for line in [
        "ID=daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86",
        "LOCATION='CLUSTER_ID HYPERVISOR_ID NODE_ID PLATFORM_ID ZONE_ID'",
        "LOCATION_ZONE_ID=nl-ams-1",
        "BOOTSCRIPT=",
        "ROUTED_IP_ENABLED=True",
        "PUBLIC_IPS=1",
        "PUBLIC_IPS_0_ADDRESS=51.15.68.77",
        "IMAGE_NAME='Ubuntu 24.04 Noble Numbat'",
        "VOLUMES=0",
        "VOLUMES_0_VOLUME_TYPE=sbs_volume",
    ] {
        assert!(lines.contains(&line), "{line} is missing in {lines:#?}");
    }
    standin.set_conf(json!({"tags": ["test"]}));
    assert_eq!(client.get("/conf").text(), "TAGS=1\nTAGS_0=test\n");
    assert_eq!(standin.conf(), json!({"tags": ["test"]}));
}

#[test]
fn user_data_needs_a_low_port() {
    let (standin, address) = start(vec![]);
    standin.set_user_data("ssh-host-fingerprints", "x");
    let mut client = Client::connect_low(address);
    let answer = client.call("PATCH", "/user_data/cloud-init", b"#!/bin/sh\n\xff\0");
    assert_eq!((answer.status, answer.header("Content-Length")), (204, None));
    for path in ["/user_data", "/user_data/"] {
        let text = "USER_DATA=2\nUSER_DATA_0=cloud-init\nUSER_DATA_1=ssh-host-fingerprints\n";
        assert_eq!(client.get(path).text(), text);
        let answer = client.get(&format!("{path}?format=json"));
        assert_eq!(answer.text(), r#"{"user_data":["cloud-init","ssh-host-fingerprints"]}"#);
    }
    let answer = client.get("/user_data/cloud-init");
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("text/plain")));
    assert_eq!(answer.body, b"#!/bin/sh\n\xff\0");
    assert_eq!(standin.user_data("cloud-init").as_deref(), Some(&b"#!/bin/sh\n\xff\0"[..]));
    assert_eq!(client.call("DELETE", "/user_data/cloud-init", b"").status, 204);
    assert_eq!(client.get("/user_data/cloud-init").status, 404);
    standin.delete_user_data("ssh-host-fingerprints");
    assert_eq!(client.get("/user_data").text(), "USER_DATA=0\n");
}

#[test]
fn key_is_percent_decoded_and_cannot_change_the_path() {
    let (standin, address) = start(vec![]);
    let mut client = Client::connect_low(address);
    assert_eq!(client.call("PATCH", "/user_data/a%2Fb%20c?x=1", b"v").status, 204);
    assert_eq!(standin.user_data("a/b c").as_deref(), Some(&b"v"[..]));
    assert_eq!(client.get("/user_data/a/b%20c").status, 404);
    assert_eq!(client.get("/user_data").text(), "USER_DATA=1\nUSER_DATA_0='a/b c'\n");
}

#[test]
fn request_from_a_high_port_is_refused() {
    let (standin, address) = start_with(Options { vendor_data: Some(b"v".to_vec()), ..local() });
    let mut client = Client::connect(address);
    let guarded =
        [("GET", "/user_data"), ("GET", "/user_data/"), ("GET", "/user_data/x"), ("PATCH", "/user_data/x")];
    for (method, path) in guarded.into_iter().chain([("GET", "/vendor_data/cloud-init")]) {
        let answer = client.call(method, path, b"");
        assert_eq!(answer.status, 403, "{method} {path}");
        let sentence = "# For security reason, you need to query user data with a source port below 1024.";
        assert!(answer.text().starts_with(sentence));
    }
    assert_eq!(standin.user_data("x"), None);
    assert_eq!(client.get("/conf").status, 200);
}

#[test]
fn other_reported_behaviours_can_be_chosen() {
    let dialect = Dialect {
        high_port: HighPort::InvalidArgument,
        patch: PatchStatus::Ok,
        empty: EmptyValue::NoContent,
    };
    let (_standin, address) = start_with(Options { dialect, ..local() });
    let answer = Client::connect(address).get("/user_data");
    assert_eq!((answer.status, answer.text()), (400, "invalid argument(s)"));
    let mut client = Client::connect_low(address);
    assert_eq!(client.call("PATCH", "/user_data/x", b"").status, 200);
    assert_eq!(client.get("/user_data/x").status, 204);
}

#[test]
fn empty_value_differs_from_a_missing_one() {
    let (standin, address) = start(vec![]);
    standin.set_user_data("x", "");
    let mut client = Client::connect_low(address);
    let answer = client.get("/user_data/x");
    assert_eq!((answer.status, answer.header("Content-Length"), answer.text()), (200, Some("0"), ""));
    assert_eq!(client.get("/user_data/y").status, 404);
}

#[test]
fn vendor_data_is_a_404_unless_set() {
    let (_standin, address) = start(vec![]);
    assert_eq!(Client::connect_low(address).get("/vendor_data/cloud-init").status, 404);
    let (_standin, address) = start_with(Options { vendor_data: Some(b"v".to_vec()), ..local() });
    assert_eq!(Client::connect_low(address).get("/vendor_data/cloud-init").text(), "v");
}

#[test]
fn state_is_accepted_from_any_port_and_recorded() {
    let (standin, address) = start(vec![]);
    let mut client = Client::connect(address);
    assert_eq!(client.call("PATCH", "/state", br#"{"state_detail":"booted"}"#).status, 200);
    assert_eq!(client.call("PATCH", "/state", b"booted").status, 400);
    assert_eq!(standin.requests()[0].body, br#"{"state_detail":"booted"}"#);
}

#[test]
fn unknown_path_is_a_404_and_a_wrong_method_a_405() {
    let (_standin, address) = start(vec![]);
    let mut client = Client::connect_low(address);
    let table = [
        ("GET", "/nothing", 404, None),
        ("GET", "/conf/", 404, None),
        ("GET", "/vendor_data", 404, None),
        ("POST", "/", 405, Some("GET")),
        ("PATCH", "/conf", 405, Some("GET")),
        ("PATCH", "/user_data/", 405, Some("GET")),
        ("PUT", "/user_data/x", 405, Some("GET, PATCH, DELETE")),
        ("GET", "/state", 405, Some("PATCH")),
    ];
    for (method, path, status, allow) in table {
        let answer = client.call(method, path, b"");
        assert_eq!((answer.status, answer.header("Allow")), (status, allow), "{method} {path}");
    }
}

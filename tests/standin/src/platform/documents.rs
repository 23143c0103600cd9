//! The JSON documents of an Instance: in the public API, and as `/conf` of the Metadata API. Most fields are equal.

use serde_json::{Map, Value, json};

use super::PROJECT;

/// The fields that only `/conf` has.
const CONF_ONLY: [&str; 5] =
    ["ssh_public_keys", "public_ips_v4", "public_ips_v6", "bootscript", "extra_networks"];

/// The values of the fields that a document of the public API always has.
fn defaults() -> Value {
    json!({
        "admin_password_encrypted_value": null, "admin_password_encryption_ssh_key_id": null, "allowed_actions": [],
        "arch": "x86_64", "boot_type": "local", "creation_date": "2026-01-01T00:00:00.000000+00:00",
        "dynamic_ip_required": false, "enable_ipv6": false, "end_of_service": false, "filesystems": [],
        "image": null, "ipv6": null, "location": null, "mac_address": "de:00:00:00:00:01", "maintenances": [],
        "modification_date": "2026-01-01T00:00:00.000000+00:00", "organization": PROJECT, "placement_group": null,
        "private_ip": null, "private_nics": [], "project": PROJECT, "protected": false, "public_ip": null,
        "public_ips": [], "routed_ip_enabled": true,
        "security_group": {"id": "c0ffee00-0000-4000-8000-000000000000", "name": "Default security group"},
        "state": "running", "state_detail": "booted", "tags": [], "volumes": {},
    })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// The document of an Instance with these fields. Its name for DNS follows from its id.
pub(crate) fn server(fields: Value) -> Value {
    let mut document = object(defaults());
    document.extend(object(fields));
    let id = document.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    document.insert("dns".to_owned(), json!(format!("{id}.pub.instances.scw.cloud")));
    set_state(&mut document);
    Value::Object(document)
}

/// Changes the state, and the fields that follow from it.
pub(crate) fn set_server_state(document: &mut Value, state: &str) {
    if let Value::Object(document) = document {
        document.insert("state".to_owned(), json!(state));
        set_state(document);
    }
}

fn set_state(document: &mut Map<String, Value>) {
    let (detail, actions): (_, &[_]) = match document.get("state").and_then(Value::as_str) {
        Some("running") => ("booted", &["poweroff", "terminate", "reboot", "stop_in_place", "backup"]),
        Some("stopped in place") => ("", &["poweron", "poweroff", "terminate", "backup"]),
        _ => ("", &["poweron", "backup"]),
    };
    document.insert("state_detail".to_owned(), json!(detail));
    document.insert("allowed_actions".to_owned(), json!(actions));
}

/// The public document of the Instance that a `/conf` is about.
pub(crate) fn server_of_conf(id: &str, conf: &Value) -> Value {
    let mut fields = object(conf.clone());
    fields.retain(|name, value| !CONF_ONLY.contains(&name.as_str()) && !value.is_null());
    fields.insert("id".to_owned(), json!(id));
    for name in ["name", "hostname", "zone", "commercial_type"] {
        fields.entry(name).or_insert(json!(""));
    }
    let mut document = server(Value::Object(fields));
    if document["image"].is_object() {
        let image = document["image"].take();
        document["image"] = with_image_defaults(image);
    }
    for address in document["public_ips"].as_array_mut().into_iter().flatten() {
        if let Value::Object(address) = address {
            let id = address.get("id").cloned().unwrap_or_default();
            address.entry("ipam_id").or_insert(id);
        }
    }
    document["public_ip"] = document["public_ips"][0].clone();
    document
}

/// The document of an image in that of an Instance, with the fields that it always has.
pub(crate) fn with_image_defaults(image: Value) -> Value {
    let mut document = object(json!({
        "creation_date": "2026-01-01T00:00:00.000000+00:00", "default_bootscript": null, "extra_volumes": {},
        "from_server": "", "modification_date": "2026-01-01T00:00:00.000000+00:00", "organization": PROJECT,
        "project": PROJECT, "public": true, "state": "available", "tags": [],
    }));
    document.extend(object(image));
    Value::Object(document)
}

/// The `/conf` of an Instance. What belongs to the project is that of the `/conf` before.
pub(crate) fn conf_of_server(server: &Value, before: &Value) -> Value {
    let mut conf = server.clone();
    let of_family = |family: &str| -> Vec<Value> {
        let addresses = server["public_ips"].as_array().into_iter().flatten();
        addresses.filter(|address| address["family"] == family).cloned().collect()
    };
    conf["public_ips_v4"] = json!(of_family("inet"));
    conf["public_ips_v6"] = json!(of_family("inet6"));
    for (name, default) in
        [("ssh_public_keys", json!([])), ("extra_networks", json!([])), ("bootscript", Value::Null)]
    {
        conf[name] = before.get(name).cloned().unwrap_or(default);
    }
    conf
}

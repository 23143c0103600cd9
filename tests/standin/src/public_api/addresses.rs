//! Public addresses, private NICs, and the private addresses in IPAM.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::account::{Account, PROJECT};
use super::error::ApiError;
use super::page;
use super::request::Request;
use crate::http::Answer;
use crate::platform::Platform;

/// All public addresses of a zone: those that exist by themselves, and those of Instances that came without.
fn addresses(account: &Account, zone: &str) -> Vec<Value> {
    let mut all: Vec<_> = account.ips.iter().filter(|ip| ip["zone"] == zone).cloned().collect();
    for server in account.servers.iter().map(|server| &server.document) {
        for own in server["public_ips"].as_array().into_iter().flatten() {
            let is_listed = all.iter().any(|ip| ip["address"] == own["address"]);
            if server["zone"] == zone && own["dynamic"] != true && !is_listed {
                let holder = json!({"id": server["id"], "name": server["name"]});
                all.push(ip(&own["id"], &own["address"], zone, holder));
            }
        }
    }
    all
}

/// The document of an address.
fn ip(id: &Value, address: &Value, zone: &str, server: Value) -> Value {
    let text = address.as_str().unwrap_or_default();
    let is_ipv6 = text.contains(':');
    json!({
        "id": id, "address": address, "prefix": if is_ipv6 { format!("{text}/64") } else { format!("{text}/32") },
        "type": if is_ipv6 { "routed_ipv6" } else { "routed_ipv4" }, "reverse": null, "server": server,
        "state": if server.is_null() { "detached" } else { "attached" }, "zone": zone, "organization": PROJECT,
        "project": PROJECT, "tags": [], "ipam_id": id,
    })
}

/// `GET …/ips`
pub(super) fn list(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let part = request.parameter("name").unwrap_or_default();
    let mut all = addresses(&platform.account, request.zone());
    all.retain(|ip| ip["address"].as_str().is_some_and(|address| address.contains(part)));
    page::v1_list(request, "ips", all)
}

/// `GET …/ips/{ip}`, by the id or by the address.
pub(super) fn get(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let wanted = request.part("ip");
    let of = |ip: &Value| ip["address"] == wanted || ip["id"] == wanted;
    let found = addresses(&platform.account, request.zone()).into_iter().find(of);
    let id = match wanted.parse::<IpAddr>() {
        Ok(address) => format!("{address}/{}", if address.is_ipv6() { 128 } else { 32 }),
        Err(_) => wanted.to_owned(),
    };
    found
        .map(|ip| Answer::json(&json!({ "ip": ip })))
        .ok_or(ApiError::NotFound { resource: "instance_ip", id })
}

/// `POST …/ips`
pub(super) fn create(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let kind = request.object()?.get("type").and_then(Value::as_str).unwrap_or("routed_ipv4").to_owned();
    let id = platform.account.identifier("ip");
    let address = new_address(&platform.account, &kind)?;
    let ip = ip(&json!(id), &json!(address), request.zone(), Value::Null);
    platform.account.ips.push(ip.clone());
    Ok(Answer { status: 201, ..Answer::json(&json!({ "ip": ip })) })
}

/// An address that is not used, from the ranges for documentation.
pub(super) fn new_address(account: &Account, kind: &str) -> Result<String, ApiError> {
    let is_used = |address: &String| {
        let of_servers = account.servers.iter().map(|server| &server.document["public_ips"]);
        let mut used = account.ips.iter().chain(of_servers.filter_map(Value::as_array).flatten());
        used.any(|ip| ip["address"] == address.as_str())
    };
    let free = |name: &dyn Fn(u16) -> String| (1..=254).map(name).find(|address| !is_used(address));
    let address = match kind {
        "routed_ipv4" => free(&|number| format!("203.0.113.{number}")),
        "routed_ipv6" => free(&|number| format!("2001:db8:{number:x}::1")),
        _ => return Err(ApiError::constraint("type", "routed_ipv4, routed_ipv6")),
    };
    address.ok_or_else(|| ApiError::Precondition("no address is left".to_owned()))
}

/// The address of an Instance, for its document.
pub(super) fn of_server(id: &str, address: &str, is_dynamic: bool) -> Value {
    let is_ipv6 = address.contains(':');
    json!({
        "id": id, "address": address, "dynamic": is_dynamic, "family": if is_ipv6 { "inet6" } else { "inet" },
        "gateway": if is_ipv6 { "fe80::ffff:ffff:ffff:fff1" } else { "62.210.0.1" },
        "netmask": if is_ipv6 { "64" } else { "32" }, "provisioning_mode": if is_ipv6 { "slaac" } else { "dhcp" },
        "state": "attached", "ipam_id": id, "tags": [],
    })
}

/// `GET …/servers/{server}/private_nics`
pub(super) fn private_nics(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let server = platform.account.server_in(request.zone(), request.part("server"))?;
    Ok(Answer::json(&json!({ "private_nics": server["private_nics"] })))
}

/// `POST …/servers/{server}/private_nics`
pub(super) fn add_private_nic(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let body = request.object()?;
    let network = body.get("private_network_id").and_then(Value::as_str);
    let network = network.ok_or_else(|| ApiError::required("private_network_id"))?.to_owned();
    let (id, address) = (platform.account.identifier("nic"), platform.account.identifier("ipam"));
    let all = platform.account.servers.iter().map(|server| &server.document["private_nics"]);
    let number = all.filter_map(Value::as_array).map(Vec::len).sum::<usize>() + 2;
    let server = platform.account.server_in(request.zone(), request.part("server"))?;
    let nic = json!({
        "id": id, "server_id": server["id"], "private_network_id": network, "zone": request.zone(), "state": "available",
        "mac_address": format!("02:00:00:00:00:{number:02x}"), "tags": [], "ipam_ip_ids": [address],
        "creation_date": "2026-01-01T00:00:00.000000+00:00",
    });
    server["private_nics"].as_array_mut().into_iter().for_each(|nics| nics.push(nic.clone()));
    Ok(Answer { status: 201, ..Answer::json(&json!({ "private_nic": nic })) })
}

/// `GET /ipam/v1/regions/{region}/ips`: one IPv4 address for each private NIC.
pub(super) fn ipam(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let region = request.part("region");
    let mut found = Vec::new();
    for server in platform.account.servers.iter().map(|server| &server.document) {
        let zone = server["zone"].as_str().unwrap_or_default();
        let nics = server["private_nics"].as_array().into_iter().flatten();
        found.extend(nics.filter(|_| zone.starts_with(region)).map(|nic| ipam_address(server, nic, region)));
    }
    found.retain(|ip| {
        let resource = &ip["resource"];
        let has = |name: &str, value: &Value| request.parameter(name).is_none_or(|wanted| *value == wanted);
        let named = request.parameter("resource_name");
        has("resource_id", &resource["id"])
            && has("mac_address", &resource["mac_address"])
            && has("resource_type", &resource["type"])
            && has("private_network_id", &ip["source"]["private_network_id"])
            && named.is_none_or(|part| resource["name"].as_str().is_some_and(|name| name.contains(part)))
    });
    page::list(request, "ips", found)
}

fn ipam_address(server: &Value, nic: &Value, region: &str) -> Value {
    let last =
        nic["mac_address"].as_str().and_then(|mac| u8::from_str_radix(mac.rsplit(':').next()?, 16).ok());
    json!({
        "id": nic["ipam_ip_ids"][0], "address": format!("172.16.4.{}/22", last.unwrap_or(1)), "is_ipv6": false,
        "project_id": PROJECT, "region": region, "zone": server["zone"], "tags": [], "reverses": [],
        "created_at": "2026-01-01T00:00:00.000000Z", "updated_at": "2026-01-01T00:00:00.000000Z",
        "source": {"private_network_id": nic["private_network_id"]},
        "resource": {"type": "instance_private_nic", "id": nic["id"], "mac_address": nic["mac_address"], "name": server["name"]},
    })
}

//! Public addresses, private NICs, and the private addresses in IPAM.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::error::ApiError;
use super::find;
use super::page;
use super::request::Request;
use crate::http::Answer;
use crate::platform::{Account, PROJECT, Platform};

/// All public addresses of a zone: those that were made by themselves, and those that came with Instances.
fn addresses(account: &Account, zone: &str) -> Vec<Value> {
    let mut all: Vec<_> = account.ips.iter().filter(|ip| ip["zone"] == zone).cloned().collect();
    for server in account.servers.iter().filter(|server| server.document["zone"] == zone) {
        all.extend(of_server_only(account, server.document["id"].as_str().unwrap_or_default()));
    }
    all
}

/// The lasting addresses of an Instance that came with it.
pub(super) fn of_server_only(account: &Account, id: &str) -> Vec<Value> {
    let Some(server) = account.server(id).map(|server| &server.document) else { return Vec::new() };
    let own = server["public_ips"].as_array().into_iter().flatten().filter(|own| own["dynamic"] != true);
    let other = own.filter(|own| account.ips.iter().all(|ip| ip["address"] != own["address"]));
    let zone = server["zone"].as_str().unwrap_or_default();
    let holder = json!({"id": server["id"], "name": server["name"]});
    other.map(|own| ip(&own["id"], &own["address"], zone, holder.clone())).collect()
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
    all.retain(|ip| request.is_of_project(ip));
    page::v1_list(request, "ips", all)
}

/// `GET …/ips/{ip}`, by the id or by the address.
pub(super) fn get(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let wanted = request.part("ip");
    // An address of IPv6 has several spellings.
    let parsed = wanted.parse::<IpAddr>().ok();
    let is_same = |text: &str| parsed.is_some() && text.parse().ok() == parsed;
    let of = |ip: &Value| ip["id"] == wanted || ip["address"].as_str().is_some_and(is_same);
    let found = addresses(&platform.account, request.zone()).into_iter().find(of);
    let id = match parsed {
        Some(address) => format!("{address}/{}", if address.is_ipv6() { 128 } else { 32 }),
        None => wanted.to_owned(),
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
    let server = find::server(platform, request)?;
    let nics = server["private_nics"].as_array().cloned().unwrap_or_default();
    page::v1_list(request, "private_nics", nics)
}

/// `POST …/servers/{server}/private_nics`
pub(super) fn add_private_nic(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let body = request.object()?;
    let network = body.get("private_network_id").and_then(Value::as_str);
    let network = network.ok_or_else(|| ApiError::required("private_network_id"))?.to_owned();
    let (id, address) = (platform.account.identifier("nic"), platform.account.identifier("ipam"));
    let mac = platform.account.mac_address("02");
    let server = find::server(platform, request)?;
    let nic = json!({
        "id": id, "server_id": server["id"], "private_network_id": network, "zone": request.zone(), "state": "available",
        "mac_address": mac, "tags": [], "ipam_ip_ids": [address],
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
        let is_in = zone.rsplit_once('-').is_some_and(|(of, _)| of == region);
        found.extend(nics.filter(|_| is_in).map(|nic| ipam_address(server, nic, region)));
    }
    found.retain(|ip| {
        let resource = &ip["resource"];
        let has = |name: &str, value: &Value| request.parameter(name).is_none_or(|wanted| *value == wanted);
        let named = request.parameter("resource_name");
        has("resource_id", &resource["id"])
            && has("mac_address", &resource["mac_address"])
            && has("resource_type", &resource["type"])
            && has("private_network_id", &ip["source"]["private_network_id"])
            && has("project_id", &ip["project_id"])
            // All that exist are attached.
            && request.parameter("attached").is_none_or(|attached| attached.eq_ignore_ascii_case("true"))
            && named.is_none_or(|part| resource["name"].as_str().is_some_and(|name| name.contains(part)))
    });
    page::list(request, "ips", found)
}

fn ipam_address(server: &Value, nic: &Value, region: &str) -> Value {
    let mac = nic["mac_address"].as_str().unwrap_or_default().replace(':', "");
    let number = u64::from_str_radix(&mac, 16).unwrap_or_default() % 1000 + 2;
    let address = format!("172.16.{}.{}/22", 4 + number / 256, number % 256);
    json!({
        "id": nic["ipam_ip_ids"][0], "address": address, "is_ipv6": false,
        "project_id": PROJECT, "region": region, "zone": server["zone"], "tags": [], "reverses": [],
        "created_at": "2026-01-01T00:00:00.000000Z", "updated_at": "2026-01-01T00:00:00.000000Z",
        "source": {"private_network_id": nic["private_network_id"]},
        "resource": {"type": "instance_private_nic", "id": nic["id"], "mac_address": nic["mac_address"], "name": server["name"]},
    })
}

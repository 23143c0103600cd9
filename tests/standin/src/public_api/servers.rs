//! Instances: lists with their filters, single ones, changes and deletion.

use serde_json::{Value, json};

use super::addresses;
use super::error::ApiError;
use super::find;
use super::page;
use super::request::Request;
use crate::http::Answer;
use crate::platform::Platform;

/// `GET …/servers`
pub(super) fn list(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let all = platform.account.servers.iter().map(|server| &server.document);
    let mut found: Vec<_> = all
        .filter(|server| server["zone"] == request.zone() && is_wanted(server, request))
        .cloned()
        .collect();
    let date = |server: &Value, name: &str| server[name].as_str().unwrap_or_default().to_owned();
    match request.parameter("order") {
        Some("creation_date_asc") => found.sort_by_key(|server| date(server, "creation_date")),
        Some("modification_date_asc") => found.sort_by_key(|server| date(server, "modification_date")),
        // The newest first; in one account they are created one after the other.
        _ => found.reverse(),
    }
    page::v1_list(request, "servers", found)
}

/// Whether an Instance meets all filters of the query.
fn is_wanted(server: &Value, request: &Request<'_>) -> bool {
    let text = |name: &str| server[name].as_str().unwrap_or_default();
    let has = |name: &str, of: &dyn Fn(&str) -> bool| request.parameter(name).is_none_or(of);
    let nics = || server["private_nics"].as_array().into_iter().flatten();
    let addresses = || {
        let addresses = server["public_ips"].as_array().into_iter().flatten();
        addresses.filter_map(|address| address["address"].as_str())
    };
    let tags = request.list("tags");
    let ids = request.list("servers");
    let networks = request.list("private_networks");
    let is_in = |network: &str| nics().any(|nic| nic["private_network_id"] == network);
    has("name", &|name| text("name").contains(name))
        && request.is_of_project(server)
        && has("private_ip", &|address| text("private_ip") == address)
        && has("state", &|state| text("state").replace(' ', "_") == state.replace(' ', "_"))
        && has("commercial_type", &|name| text("commercial_type") == name)
        && has("with_ip", &|wanted| addresses().any(|address| address == wanted))
        && has("without_ip", &|without| !without.eq_ignore_ascii_case("true") || addresses().next().is_none())
        && has("private_nic_mac_address", &|mac| nics().any(|nic| nic["mac_address"] == mac))
        && has("private_network", &|network| is_in(network))
        && (networks.is_empty() || networks.iter().any(|network| is_in(network)))
        && (ids.is_empty() || ids.contains(&text("id")))
        && tags.iter().all(|tag| server["tags"].as_array().is_some_and(|tags| tags.contains(&json!(tag))))
}

/// `GET …/servers/{server}`
pub(super) fn get(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let server = find::server(platform, request)?;
    Ok(Answer::json(&json!({ "server": server })))
}

/// `PATCH …/servers/{server}`: the fields that are plain values.
pub(super) fn update(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let changes = request.object()?;
    let group = match changes.get("placement_group").and_then(Value::as_str) {
        Some(id) => {
            let groups = &mut platform.account.placement_groups;
            Some(find::document(groups, "instance_placement_group", request.zone(), id)?.clone())
        }
        None => None,
    };
    if let Some(name) = changes.get("commercial_type").and_then(Value::as_str) {
        super::new_server::server_type(name)?;
    }
    for (name, value) in &changes {
        let fits = match name.as_str() {
            "name" | "boot_type" | "commercial_type" => value.is_string(),
            "tags" => value.as_array().is_some_and(|tags| tags.iter().all(Value::is_string)),
            "protected" | "dynamic_ip_required" => value.is_boolean(),
            "placement_group" => value.is_string() || value.is_null(),
            _ => {
                return Err(ApiError::argument(name, "unknown", "the stand-in does not change this field"));
            }
        };
        if !fits {
            return Err(ApiError::argument(name, "format", ""));
        }
    }
    let server = find::server(platform, request)?;
    for (name, value) in changes {
        server[&name] = if name == "placement_group" { group.clone().unwrap_or_default() } else { value };
    }
    let server = server.clone();
    for ip in platform.account.ips.iter_mut().filter(|ip| ip["server"]["id"] == server["id"]) {
        ip["server"]["name"] = server["name"].clone();
    }
    Ok(Answer::json(&json!({ "server": server })))
}

/// `DELETE …/servers/{server}`: its volumes stay.
pub(super) fn delete(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let id = request.part("server");
    let server = find::server(platform, request)?;
    if server["state"] != "stopped" {
        return Err(ApiError::Precondition("instance should be stopped".to_owned()));
    }
    let volumes = server["volumes"].as_object().into_iter().flat_map(|volumes| volumes.values());
    let local: Vec<_> = volumes.filter(|volume| volume["volume_type"] != "sbs_volume").cloned().collect();
    platform.account.local_volumes.extend(local);
    remove(platform, id);
    Ok(Answer::empty(204))
}

/// Removes an Instance, and detaches its volumes and addresses.
pub(super) fn remove(platform: &mut Platform, id: &str) {
    let account = &mut platform.account;
    // An address that came with the Instance stays, too.
    let own = addresses::of_server_only(account, id);
    account.ips.extend(own);
    account.servers.retain(|server| server.document["id"] != id);
    for volume in &mut account.block_volumes {
        super::block::detach(volume, id);
    }
    for address in account.ips.iter_mut().filter(|address| address["server"]["id"] == id) {
        address["server"] = Value::Null;
        address["state"] = json!("detached");
    }
}

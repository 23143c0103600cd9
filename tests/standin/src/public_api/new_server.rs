//! The creation of an Instance.

use serde_json::{Map, Value, json};

use super::addresses;
use super::catalogue::{self, LocalImage, ServerType};
use super::error::ApiError;
use super::find;
use super::new_volumes::{self, Target};
use super::request::Request;
use crate::http::Answer;
use crate::platform::documents::{server, with_image_defaults};
use crate::platform::{PROJECT, Platform, Server, UserData, uuid};

/// `POST …/servers`. Nothing is made if an argument is wrong.
pub(super) fn create(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let body = request.object()?;
    let zone = request.zone();
    let name = body.get("name").and_then(Value::as_str).unwrap_or("srv-stand-in").to_owned();
    let is_permitted = |sign: char| sign.is_ascii_alphanumeric() || ". -".contains(sign);
    if !name.chars().all(is_permitted) {
        return Err(ApiError::argument("name", "format", "letters, digits, dots, spaces, dashes"));
    }
    let type_name = body.get("commercial_type").and_then(Value::as_str);
    let server_type = server_type(type_name.ok_or_else(|| ApiError::required("commercial_type"))?)?;
    let (image, is_by_label) = image(&body, zone, &server_type)?;
    let id = platform.account.identifier("server");
    let volumes = body.get("volumes").and_then(Value::as_object);
    if image.is_none() && volumes.is_none_or(Map::is_empty) {
        return Err(ApiError::required("image"));
    }
    let (public_ips, group) = (public_ips(platform, &body, zone)?, group(platform, &body, zone)?);
    let target = Target { id: &id, zone, image: image.as_ref(), is_by_label, server_type: &server_type };
    let volumes = new_volumes::make(platform, &target, volumes)?;
    for ip in platform.account.ips.iter_mut().filter(|ip| public_ips.iter().any(|own| own["id"] == ip["id"]))
    {
        ip["server"] = json!({"id": id, "name": name});
        ip["state"] = json!("attached");
    }
    let document = server(json!({
        "id": id, "name": name, "hostname": name.replace(' ', "-"), "zone": zone, "state": "stopped",
        "arch": server_type.arch, "commercial_type": server_type.name,
        "tags": body.get("tags").cloned().unwrap_or_else(|| json!([])),
        "project": body.get("project").filter(|project| !project.is_null()).cloned().unwrap_or_else(|| json!(PROJECT)),
        "image": image.map(|image| image_document(&image, zone)), "volumes": volumes, "placement_group": group,
        "public_ip": public_ips.first(), "public_ips": public_ips,
        "dynamic_ip_required": body.get("dynamic_ip_required").and_then(Value::as_bool).unwrap_or(true),
        "mac_address": platform.account.mac_address("de"),
        "location": {"cluster_id": "15", "hypervisor_id": "402", "node_id": "134", "platform_id": "23", "zone_id": zone},
        "protected": body.get("protected").and_then(Value::as_bool).unwrap_or_default(),
    }));
    platform.account.servers.push(Server { document: document.clone(), user_data: UserData::new() });
    let answer = Answer { status: 201, ..Answer::json(&json!({ "server": document })) };
    Ok(answer.with("Location", format!("{}/{id}", request.path)))
}

/// The type with this name.
pub(super) fn server_type(name: &str) -> Result<ServerType, ApiError> {
    catalogue::server_type(name)
        .ok_or_else(|| ApiError::constraint("commercial_type", format!("{name} is not offered here")))
}

/// The image, by its id or its label, and whether it was the label.
fn image(
    body: &Map<String, Value>,
    zone: &str,
    server_type: &ServerType,
) -> Result<(Option<LocalImage>, bool), ApiError> {
    let Some(name) = body.get("image").and_then(Value::as_str) else { return Ok((None, false)) };
    let images = catalogue::local_images(zone);
    if let Some(image) = images.iter().find(|image| image.id == name) {
        if image.arch != server_type.arch {
            return Err(ApiError::constraint("image", "its architecture is not that of commercial_type"));
        }
        return Ok((Some(image.clone()), false));
    }
    let mut of_label = images.into_iter().filter(|image| image.label == name).peekable();
    if of_label.peek().is_none() {
        return Err(ApiError::not_found("instance_image", name));
    }
    let image = of_label.find(|image| image.arch == server_type.arch && image.kind == "instance_sbs");
    let image =
        image.ok_or_else(|| ApiError::constraint("image", "not for the architecture of commercial_type"))?;
    Ok((Some(image), true))
}

fn image_document(image: &LocalImage, zone: &str) -> Value {
    let is_local = image.kind == "instance_local";
    let kind = if is_local { "l_ssd" } else { "sbs_snapshot" };
    let snapshot = uuid(&(image.id.as_str(), "snapshot"));
    let root = json!({"id": snapshot, "name": "", "size": if is_local { 10_000_000_000_u64 } else { 0 }, "volume_type": kind});
    with_image_defaults(
        json!({"id": image.id, "name": image.name, "arch": image.arch, "zone": zone, "root_volume": root}),
    )
}

/// The addresses of the new Instance: those that the request names, or a dynamic one.
fn public_ips(
    platform: &mut Platform,
    body: &Map<String, Value>,
    zone: &str,
) -> Result<Vec<Value>, ApiError> {
    let ids = body.get("public_ips").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut found = Vec::new();
    for id in ids.iter().filter_map(Value::as_str) {
        let ip = find::document(&mut platform.account.ips, "instance_ip", zone, id)?;
        if ip["state"] == "attached" {
            return Err(ApiError::Precondition("the address is attached to another instance".to_owned()));
        }
        found.push(addresses::of_server(id, ip["address"].as_str().unwrap_or_default(), false));
    }
    let is_dynamic = body.get("dynamic_ip_required").and_then(Value::as_bool).unwrap_or(true);
    if found.is_empty() && is_dynamic {
        let address = addresses::new_address(&platform.account, "routed_ipv4")?;
        found.push(addresses::of_server(&platform.account.identifier("ip"), &address, true));
    }
    Ok(found)
}

fn group(platform: &mut Platform, body: &Map<String, Value>, zone: &str) -> Result<Value, ApiError> {
    match body.get("placement_group").and_then(Value::as_str) {
        Some(id) => {
            Ok(find::document(&mut platform.account.placement_groups, "instance_placement_group", zone, id)?
                .clone())
        }
        None => Ok(Value::Null),
    }
}

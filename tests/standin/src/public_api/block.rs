//! Block volumes.

use serde_json::{Value, json};

use super::error::ApiError;
use super::find;
use super::page;
use super::request::Request;
use crate::http::Answer;
use crate::platform::{Account, PROJECT, Platform};

/// Sizes are multiples of one gigabyte.
pub(super) const GIGABYTE: u64 = 1_000_000_000;

/// Adds a volume; returns its id.
pub(super) fn add(account: &mut Account, zone: &str, name: &str, size: u64, iops: u64) -> String {
    let id = account.identifier("block-volume");
    account.block_volumes.push(json!({
        "id": id, "name": name, "type": "sbs", "size": size, "project_id": PROJECT, "zone": zone, "status": "available",
        "references": [], "parent_snapshot_id": null, "tags": [], "specs": {"perf_iops": iops, "class": "sbs"},
        "created_at": "2026-01-01T00:00:00.000000Z", "updated_at": "2026-01-01T00:00:00.000000Z",
        "last_detached_at": null, "kms_key_id": null,
    }));
    id
}

/// Attaches a volume to an Instance.
pub(super) fn attach(account: &mut Account, zone: &str, id: &str, server: &str) -> Result<(), ApiError> {
    let reference = account.identifier("reference");
    let volume = find::document(&mut account.block_volumes, "volume", zone, id)?;
    if volume["status"] != "available" {
        return Err(ApiError::Precondition("the volume is in use".to_owned()));
    }
    volume["status"] = json!("in_use");
    volume["references"] = json!([{
        "id": reference, "product_resource_type": "instance_server", "product_resource_id": server,
        "type": "exclusive", "status": "attached", "created_at": "2026-01-01T00:00:00.000000Z",
    }]);
    Ok(())
}

/// Detaches a volume from an Instance, if it is attached to it.
pub(super) fn detach(volume: &mut Value, server: &str) {
    if volume["references"][0]["product_resource_id"] == server {
        volume["references"] = json!([]);
        volume["status"] = json!("available");
    }
}

/// `GET …/volumes`
pub(super) fn list(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let name = request.parameter("name").unwrap_or_default();
    let of_resource = |volume: &Value| {
        let wanted = request.parameter("product_resource_id");
        wanted.is_none_or(|id| volume["references"][0]["product_resource_id"] == id)
    };
    let wanted = |volume: &&Value| {
        let has_name = volume["name"].as_str().is_some_and(|of| of.contains(name));
        volume["zone"] == request.zone() && has_name && of_resource(volume) && request.is_of_project(volume)
    };
    let volumes = platform.account.block_volumes.iter().filter(wanted).cloned().collect();
    page::list(request, "volumes", volumes)
}

/// `POST …/volumes`
pub(super) fn create(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let body = request.object()?;
    let name = body.get("name").and_then(Value::as_str).unwrap_or("vol-stand-in").to_owned();
    let size = body.get("from_empty").and_then(|empty| empty["size"].as_u64());
    let size = size.ok_or_else(|| ApiError::required("from_empty.size"))?;
    if size == 0 || size % GIGABYTE != 0 {
        return Err(ApiError::constraint("from_empty.size", "a multiple of 1 GB"));
    }
    let iops = body.get("perf_iops").filter(|iops| !iops.is_null()).map_or(Some(5000), Value::as_u64);
    let iops = iops.filter(|iops| [5000, 15000].contains(iops));
    let iops = iops.ok_or_else(|| ApiError::constraint("perf_iops", "5000, 15000"))?;
    let id = add(&mut platform.account, request.zone(), &name, size, iops);
    Ok(Answer::json(find::document(&mut platform.account.block_volumes, "volume", request.zone(), &id)?))
}

/// `GET …/volumes/{volume}`
pub(super) fn get(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let volumes = &mut platform.account.block_volumes;
    Ok(Answer::json(find::document(volumes, "volume", request.zone(), request.part("volume"))?))
}

/// `DELETE …/volumes/{volume}`
pub(super) fn delete(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let id = request.part("volume");
    let volume = find::document(&mut platform.account.block_volumes, "volume", request.zone(), id)?;
    if volume["status"] != "available" {
        return Err(ApiError::Precondition("the volume is in use".to_owned()));
    }
    platform.account.block_volumes.retain(|volume| volume["id"] != id);
    Ok(Answer::empty(204))
}

//! Volumes that are attached to an Instance and detached from it. Both take no time, and `/conf` shows the result.
//!
//! Only block volumes are attached and detached while the Instance is not stopped. How the platform refuses the others is not known; the
//! stand-in says that the Instance has to be stopped.

use serde_json::{Map, Value, json};

use super::block;
use super::error::ApiError;
use super::find;
use super::new_volumes;
use super::request::Request;
use crate::http::Answer;
use crate::platform::Platform;

/// The types of the argument `volume_type` that the stand-in has.
const KINDS: [&str; 2] = ["l_ssd", "sbs_volume"];

/// `POST …/servers/{server}/attach-volume`: the volume gets the first number that is free.
pub(super) fn attach(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let body = request.object()?;
    let volume = volume_id(&body)?;
    let kind = body.get("volume_type").and_then(Value::as_str).unwrap_or("l_ssd");
    if !KINDS.contains(&kind) {
        return Err(ApiError::constraint("volume_type", KINDS.join(", ")));
    }
    let server = find::server(platform, request)?;
    check_state(server, kind)?;
    let is_free = |number: &String| server["volumes"].get(number).is_none();
    let number = (0_u32..).map(|number| number.to_string()).find(is_free).unwrap_or_default();
    let mut volume = new_volumes::existing(platform, request.zone(), request.part("server"), kind, volume)?;
    let boot = body.get("boot").and_then(Value::as_bool).unwrap_or_default();
    new_volumes::set_common_fields(&mut volume, kind, request.zone(), boot);
    let server = find::server(platform, request)?;
    server["volumes"][number] = volume;
    Ok(Answer::json(&json!({ "server": server })))
}

/// `POST …/servers/{server}/detach-volume`: the volume stays.
pub(super) fn detach(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let body = request.object()?;
    let id = volume_id(&body)?;
    let server = find::server(platform, request)?;
    let mut volumes = server["volumes"].as_object().into_iter().flatten();
    let found = volumes
        .find(|(_, volume)| volume["id"] == id)
        .map(|(number, volume)| (number.clone(), volume.clone()));
    let (number, volume) = found.ok_or_else(|| ApiError::not_found("instance_volume", id))?;
    let is_block = volume["volume_type"] == "sbs_volume";
    check_state(server, if is_block { "sbs_volume" } else { "l_ssd" })?;
    if let Some(volumes) = server["volumes"].as_object_mut() {
        volumes.remove(&number);
    }
    let answer = Answer::json(&json!({ "server": server }));
    if is_block {
        let of_account = platform.account.block_volumes.iter_mut().filter(|block| block["id"] == id);
        of_account.for_each(|block| block::detach(block, request.part("server")));
    } else {
        platform.account.local_volumes.push(volume);
    }
    Ok(answer)
}

fn volume_id(body: &Map<String, Value>) -> Result<&str, ApiError> {
    body.get("volume_id").and_then(Value::as_str).ok_or_else(|| ApiError::required("volume_id"))
}

fn check_state(server: &Value, kind: &str) -> Result<(), ApiError> {
    if kind == "sbs_volume" || server["state"] == "stopped" {
        return Ok(());
    }
    Err(ApiError::Precondition("instance should be stopped".to_owned()))
}

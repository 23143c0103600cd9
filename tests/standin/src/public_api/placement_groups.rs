//! Placement groups.

use serde_json::{Value, json};

use super::error::ApiError;
use super::find;
use super::page;
use super::request::Request;
use crate::http::Answer;
use crate::platform::{PROJECT, Platform};

const RESOURCE: &str = "instance_placement_group";
/// The fields with a fixed set of values; the first is the default.
const CHOICES: [(&str, [&str; 2]); 2] =
    [("policy_type", ["max_availability", "low_latency"]), ("policy_mode", ["optional", "enforced"])];

/// `GET …/placement_groups`
pub(super) fn list(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let name = request.parameter("name").unwrap_or_default();
    let wanted = |group: &&Value| {
        group["zone"] == request.zone() && group["name"].as_str().is_some_and(|of| of.contains(name))
    };
    let groups = platform.account.placement_groups.iter().filter(wanted);
    let groups = groups.filter(|group| request.is_of_project(group)).cloned().collect();
    page::v1_list(request, "placement_groups", groups)
}

/// `POST …/placement_groups`
pub(super) fn create(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let body = request.object()?;
    let name = body.get("name").and_then(Value::as_str).ok_or_else(|| ApiError::required("name"))?;
    let mut group = json!({
        "id": platform.account.identifier("placement-group"), "name": name, "organization": PROJECT, "project": PROJECT,
        "tags": body.get("tags").cloned().unwrap_or_else(|| json!([])), "policy_respected": true, "zone": request.zone(),
    });
    for (field, choices) in CHOICES {
        group[field] = choice(&body, field, &choices)?.unwrap_or_else(|| json!(choices[0]));
    }
    platform.account.placement_groups.push(group.clone());
    Ok(Answer { status: 201, ..Answer::json(&json!({ "placement_group": group })) })
}

fn choice(
    body: &serde_json::Map<String, Value>,
    field: &str,
    choices: &[&str],
) -> Result<Option<Value>, ApiError> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(value)) if choices.contains(&value.as_str()) => Ok(Some(json!(value))),
        Some(_) => Err(ApiError::constraint(field, choices.join(", "))),
    }
}

/// `GET …/placement_groups/{group}`
pub(super) fn get(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let groups = &mut platform.account.placement_groups;
    let group = find::document(groups, RESOURCE, request.zone(), request.part("group"))?;
    Ok(Answer::json(&json!({ "placement_group": group })))
}

/// `PATCH …/placement_groups/{group}`
pub(super) fn update(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let body = request.object()?;
    let groups = &mut platform.account.placement_groups;
    let group = find::document(groups, RESOURCE, request.zone(), request.part("group"))?;
    let mut changed = group.clone();
    for (field, choices) in CHOICES {
        if let Some(value) = choice(&body, field, &choices)? {
            changed[field] = value;
        }
    }
    for field in ["name", "tags"] {
        if let Some(value) = body.get(field) {
            changed[field] = value.clone();
        }
    }
    *group = changed.clone();
    let group = changed;
    let members = platform.account.servers.iter_mut().map(|server| &mut server.document);
    for server in members.filter(|server| server["placement_group"]["id"] == group["id"]) {
        server["placement_group"] = group.clone();
    }
    Ok(Answer::json(&json!({ "placement_group": group })))
}

/// `DELETE …/placement_groups/{group}`
pub(super) fn delete(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let id = request.part("group");
    find::document(&mut platform.account.placement_groups, RESOURCE, request.zone(), id)?;
    if platform.account.servers.iter().any(|server| server.document["placement_group"]["id"] == id) {
        return Err(ApiError::Precondition("the placement group has instances".to_owned()));
    }
    platform.account.placement_groups.retain(|group| group["id"] != id);
    Ok(Answer::empty(204))
}

/// `GET …/placement_groups/{group}/servers`
pub(super) fn servers(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let id = request.part("group");
    find::document(&mut platform.account.placement_groups, RESOURCE, request.zone(), id)?;
    let all = platform.account.servers.iter().map(|server| &server.document);
    let in_group = all.filter(|server| server["placement_group"]["id"] == id);
    let of = |server: &Value| json!({"id": server["id"], "name": server["name"], "policy_respected": true});
    Ok(Answer::json(&json!({ "servers": in_group.map(of).collect::<Vec<_>>() })))
}

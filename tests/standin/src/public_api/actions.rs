//! The actions on an Instance. They take no time: the next read shows the new state.

use serde_json::{Value, json};

use super::error::ApiError;
use super::find;
use super::request::Request;
use super::servers;
use crate::http::Answer;
use crate::platform::Platform;
use crate::platform::documents::set_server_state;

/// `GET …/servers/{server}/action`
pub(super) fn permitted(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let server = find::server(platform, request)?;
    Ok(Answer::json(&json!({ "actions": server["allowed_actions"] })))
}

/// `POST …/servers/{server}/action`
pub(super) fn act(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let (zone, id) = (request.zone().to_owned(), request.part("server").to_owned());
    let body = request.object()?;
    let action = body.get("action").and_then(Value::as_str).ok_or_else(|| ApiError::required("action"))?;
    let server = find::server(platform, request)?;
    if !["poweron", "poweroff", "stop_in_place", "reboot", "backup", "terminate", "enable_routed_ip"]
        .contains(&action)
    {
        return Err(ApiError::constraint("action", "not one of the actions"));
    }
    if !server["allowed_actions"].as_array().is_some_and(|permitted| permitted.contains(&json!(action))) {
        let state = server["state"].as_str().unwrap_or_default();
        return Err(ApiError::Precondition(format!("instance is {state}")));
    }
    match action {
        "poweron" | "reboot" => set_server_state(server, "running"),
        "poweroff" => set_server_state(server, "stopped"),
        "stop_in_place" => set_server_state(server, "stopped in place"),
        _ => {}
    }
    match action {
        "poweron" => platform.show(&id),
        // Its local volumes exist in its own document only. Block volumes are detached.
        "terminate" => servers::remove(platform, &id),
        _ => {}
    }
    let task = platform.account.identifier("task");
    let document = json!({ "task": {
        "id": task, "description": format!("server_{action}"), "status": "pending", "progress": 0, "zone": zone,
        "href_from": format!("/servers/{id}/action"), "href_result": format!("/servers/{id}"),
        "started_at": "2026-01-01T00:00:00.000000+00:00", "terminated_at": null,
    }});
    Ok(Answer { status: 202, ..Answer::json(&document) })
}

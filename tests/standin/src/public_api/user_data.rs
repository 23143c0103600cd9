//! User data, in version 1 (raw values) and in version 2alpha1 (base64 in JSON).

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use super::error::ApiError;
use super::find;
use super::request::Request;
use crate::http::Answer;
use crate::platform::{Platform, UserData};

/// The user data of the Instance of the path.
fn of_server<'a>(platform: &'a mut Platform, request: &Request<'_>) -> Result<&'a mut UserData, ApiError> {
    let id = request.part("server");
    find::server(platform, request)?;
    platform.user_data_of(id).ok_or_else(|| ApiError::not_found("instance_server", id))
}

fn keys(values: &UserData) -> Vec<Value> {
    values.keys().map(|key| json!(String::from_utf8_lossy(key))).collect()
}

fn key(request: &Request<'_>) -> Vec<u8> {
    request.last.clone()
}

/// `GET …/user_data`
pub(super) fn list(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let values = of_server(platform, request)?;
    Ok(Answer::json(&json!({ "user_data": keys(values) })))
}

/// `GET …/user_data/{key}`
pub(super) fn get(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let value = of_server(platform, request)?.get(&key(request)).cloned();
    value.map(|value| Answer::text(200, value)).ok_or(ApiError::NoUserData)
}

/// `PATCH …/user_data/{key}`
pub(super) fn set(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    of_server(platform, request)?.insert(key(request), request.body.to_vec());
    Ok(Answer::empty(204))
}

/// `DELETE …` in both versions.
pub(super) fn delete(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    of_server(platform, request)?.remove(&key(request));
    Ok(Answer::empty(204))
}

/// `GET …/user-data` of version 2alpha1. The token of a page is the number of keys before it.
pub(super) fn list_v2(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let keys = keys(of_server(platform, request)?);
    let number = |name: &str, default: usize| match request.parameter(name) {
        Some(text) => text.parse().map_err(|_| ApiError::argument(name, "format", "")),
        None => Ok(default),
    };
    let (start, size) = (number("page_token", 0)?, number("page_size", 50)?.clamp(1, 100));
    let (total, end) = (keys.len(), start.saturating_add(size));
    let page: Vec<_> = keys.into_iter().skip(start).take(size).collect();
    let next = (end < total).then(|| end.to_string());
    Ok(Answer::json(&json!({ "keys": page, "next_page_token": next, "total_count": total })))
}

/// `GET …/user-data/{key}` of version 2alpha1.
pub(super) fn get_v2(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let key = key(request);
    let name = String::from_utf8_lossy(&key).into_owned();
    let value = of_server(platform, request)?.get(&key);
    let value = value.ok_or_else(|| ApiError::not_found("user_data", &name))?;
    Ok(Answer::json(&json!({ "key": name, "content": Base64::encode_string(value) })))
}

/// `PUT …/user-data/{key}` of version 2alpha1.
pub(super) fn set_v2(platform: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let body = request.object()?;
    let content = body.get("content").and_then(Value::as_str).ok_or_else(|| ApiError::required("content"))?;
    let value = Base64::decode_vec(content).map_err(|_| ApiError::argument("content", "format", "base64"))?;
    of_server(platform, request)?.insert(key(request), value);
    Ok(Answer::empty(204))
}

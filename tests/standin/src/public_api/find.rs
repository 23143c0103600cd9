//! Looks for resources by their ids. The error is the one that the API answers with.

use serde_json::Value;

use super::error::ApiError;
use super::request::Request;
use crate::platform::Platform;

/// The Instance of the path, which must be in the zone of the path.
pub(super) fn server<'a>(
    platform: &'a mut Platform,
    request: &Request<'_>,
) -> Result<&'a mut Value, ApiError> {
    let id = request.part("server");
    let server = platform.account.server_mut(id).filter(|server| server.document["zone"] == request.zone());
    server.map(|server| &mut server.document).ok_or_else(|| ApiError::not_found("instance_server", id))
}

/// The document with this id in this zone.
pub(super) fn document<'a>(
    documents: &'a mut [Value],
    resource: &'static str,
    zone: &str,
    id: &str,
) -> Result<&'a mut Value, ApiError> {
    let mut found = documents.iter_mut().filter(|document| document["zone"] == zone && document["id"] == id);
    found.next().ok_or_else(|| ApiError::not_found(resource, id))
}

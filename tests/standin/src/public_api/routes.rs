//! The table of paths and methods of the public API, and the check of the token.

use percent_encoding::percent_decode_str;

use super::error::ApiError;
use super::request::{Request, parse_query};
use super::{
    actions, addresses, attachment, block, catalogue, new_server, placement_groups, servers, user_data,
};
use crate::http::{Answer, Incoming};
use crate::platform::{Account, Platform, Rights, uuid};

/// The zones of Instances.
pub(super) const ZONES: [&str; 10] = [
    "fr-par-1", "fr-par-2", "fr-par-3", "nl-ams-1", "nl-ams-2", "nl-ams-3", "pl-waw-1", "pl-waw-2",
    "pl-waw-3", "it-mil-1",
];

type Handler = fn(&mut Platform, &Request<'_>) -> Result<Answer, ApiError>;

/// A method, a path with its parts in braces, the kind of resource for permissions, and the function that answers. An empty kind needs no
/// token.
struct Route(&'static str, &'static str, &'static str, Handler);

/// The beginning of a path without a slash.
const INSTANCE: &str = "/instance/v1/zones/{zone}";
const SERVER: &str = "instance_server";
const GROUP: &str = "instance_placement_group";
const ROUTES: &[Route] = &[
    Route("GET", "servers", SERVER, servers::list),
    Route("POST", "servers", SERVER, new_server::create),
    Route("GET", "servers/{server}", SERVER, servers::get),
    Route("PATCH", "servers/{server}", SERVER, servers::update),
    Route("DELETE", "servers/{server}", SERVER, servers::delete),
    Route("GET", "servers/{server}/action", SERVER, actions::permitted),
    Route("POST", "servers/{server}/action", SERVER, actions::act),
    Route("POST", "servers/{server}/attach-volume", SERVER, attachment::attach),
    Route("POST", "servers/{server}/detach-volume", SERVER, attachment::detach),
    Route("GET", "servers/{server}/private_nics", SERVER, addresses::private_nics),
    Route("POST", "servers/{server}/private_nics", SERVER, addresses::add_private_nic),
    Route("GET", "servers/{server}/user_data", SERVER, user_data::list),
    Route("GET", "servers/{server}/user_data/{key}", SERVER, user_data::get),
    Route("PATCH", "servers/{server}/user_data/{key}", SERVER, user_data::set),
    Route("DELETE", "servers/{server}/user_data/{key}", SERVER, user_data::delete),
    Route("GET", "ips", "instance_ip", addresses::list),
    Route("POST", "ips", "instance_ip", addresses::create),
    Route("GET", "ips/{ip}", "instance_ip", addresses::get),
    Route("GET", "placement_groups", GROUP, placement_groups::list),
    Route("POST", "placement_groups", GROUP, placement_groups::create),
    Route("GET", "placement_groups/{group}", GROUP, placement_groups::get),
    Route("PATCH", "placement_groups/{group}", GROUP, placement_groups::update),
    Route("DELETE", "placement_groups/{group}", GROUP, placement_groups::delete),
    Route("GET", "placement_groups/{group}/servers", GROUP, placement_groups::servers),
    Route("GET", "products/servers", SERVER, catalogue::server_types),
    Route("GET", "products/servers/availability", SERVER, catalogue::availability),
    Route("GET", "products/volumes", SERVER, catalogue::volume_types),
    Route("GET", "/instance/v2alpha1/zones/{zone}/servers/{server}/user-data", SERVER, user_data::list_v2),
    Route(
        "GET",
        "/instance/v2alpha1/zones/{zone}/servers/{server}/user-data/{key}",
        SERVER,
        user_data::get_v2,
    ),
    Route(
        "PUT",
        "/instance/v2alpha1/zones/{zone}/servers/{server}/user-data/{key}",
        SERVER,
        user_data::set_v2,
    ),
    Route(
        "DELETE",
        "/instance/v2alpha1/zones/{zone}/servers/{server}/user-data/{key}",
        SERVER,
        user_data::delete,
    ),
    Route("GET", "/block/v1/zones/{zone}/volumes", "volume", block::list),
    Route("POST", "/block/v1/zones/{zone}/volumes", "volume", block::create),
    Route("GET", "/block/v1/zones/{zone}/volumes/{volume}", "volume", block::get),
    Route("DELETE", "/block/v1/zones/{zone}/volumes/{volume}", "volume", block::delete),
    Route("GET", "/ipam/v1/regions/{region}/ips", "ip", addresses::ipam),
    Route("GET", "/marketplace/v2/images", "", catalogue::list_images),
    Route("GET", "/marketplace/v2/versions", "", catalogue::list_versions),
    Route("GET", "/marketplace/v2/local-images", "", catalogue::list_local_images),
    Route("GET", "/marketplace/v2/local-images/{image}", "", catalogue::get_local_image),
];

/// Carries out the request and returns the answer.
pub(crate) fn answer(platform: &mut Platform, request: &Incoming) -> Answer {
    platform.add_shown();
    let answer = find_and_handle(platform, request).unwrap_or_else(|why| why.answer());
    platform.refresh_conf();
    answer.with("Server", "Scaleway API Gateway (stand-in)").with("X-Request-Id", uuid(&request.target))
}

fn find_and_handle(platform: &mut Platform, incoming: &Incoming) -> Result<Answer, ApiError> {
    let (path, query) = incoming.target.split_once('?').unwrap_or((&incoming.target, ""));
    let of_path = |Route(method, pattern, kind, handler): &'static Route| {
        Some((*method, parts(pattern, path)?, *kind, handler))
    };
    let matching: Vec<_> = ROUTES.iter().filter_map(of_path).collect();
    let Some((_, parts, kind, handler)) = matching.iter().find(|(method, ..)| *method == incoming.method)
    else {
        if !path.starts_with("/marketplace/") {
            check_token(&platform.account, incoming)?;
        }
        let methods: Vec<_> = matching.iter().map(|(method, ..)| *method).collect();
        return Err(if methods.is_empty() { ApiError::NoRoute } else { ApiError::NoMethod(methods) });
    };
    if !kind.is_empty() {
        let rights = check_token(&platform.account, incoming)?;
        let is_read = incoming.method == "GET";
        if rights == Rights::None || rights == Rights::Read && !is_read {
            let action = if is_read { "read" } else { "write" };
            return Err(ApiError::NotPermitted { resource: kind, action });
        }
    }
    let last = percent_decode_str(path.rsplit('/').next().unwrap_or_default()).collect();
    let request =
        Request { path, parts: parts.clone(), last, query: parse_query(query), body: &incoming.body };
    if !request.zone().is_empty() && !ZONES.contains(&request.zone()) {
        return Err(ApiError::argument("zone", "format", "not one of the zones"));
    }
    handler(platform, &request)
}

/// What the token of the request permits.
fn check_token(account: &Account, request: &Incoming) -> Result<Rights, ApiError> {
    let token = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-auth-token"));
    let token = token.map_or("", |(_, value)| value.as_str());
    let is_dash = |at: usize| [8, 13, 18, 23].contains(&at);
    let fits = |(at, byte): (usize, u8)| if is_dash(at) { byte == b'-' } else { byte.is_ascii_hexdigit() };
    let is_uuid = token.len() == 36 && token.bytes().enumerate().all(fits);
    match account.tokens.get(token) {
        Some(Rights::Expired) => Err(ApiError::Unauthenticated("expired")),
        Some(rights) => Ok(*rights),
        None if is_uuid => Err(ApiError::Unauthenticated("not_found")),
        None => Err(ApiError::Unauthenticated("invalid_argument")),
    }
}

/// The parts of a path that vary, if it fits the pattern.
fn parts(pattern: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let full = if pattern.starts_with('/') { "" } else { INSTANCE };
    let names = full.split('/').chain(pattern.split('/')).filter(|part| !part.is_empty());
    let mut values = path.split('/').skip(1);
    let mut parts = Vec::new();
    for name in names {
        let value = values.next()?;
        match name.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(_) if value.is_empty() => return None,
            Some(name) => parts.push((name, percent_decode_str(value).decode_utf8_lossy().into_owned())),
            None if name == value => {}
            None => return None,
        }
    }
    values.next().is_none().then_some(parts)
}

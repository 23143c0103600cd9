//! The volumes of a new Instance: what the `volumes` object asks for, checked, and what is made without one.

use serde_json::{Map, Value, json};

use super::block::{self, GIGABYTE};
use super::catalogue::{LocalImage, ServerType};
use super::error::ApiError;
use super::find;
use crate::platform::Platform;

/// The size of an image's snapshot.
const IMAGE_SIZE: u64 = 10_000_000_000;

/// The new Instance, as far as its volumes depend on it.
pub(super) struct Target<'a> {
    pub(super) id: &'a str,
    pub(super) zone: &'a str,
    pub(super) image: Option<&'a LocalImage>,
    /// Whether the image was named by its label.
    pub(super) is_by_label: bool,
    pub(super) server_type: &'a ServerType,
}

/// What a volume is made from.
enum Source<'a> {
    /// The snapshot of the image, for the volume `0`.
    Image,
    /// Another snapshot.
    Snapshot,
    /// Nothing.
    Empty,
    /// A volume that exists.
    Volume(&'a str),
}

/// Makes the volumes, all or none. Returns the `volumes` of the Instance's document.
pub(super) fn make(
    platform: &mut Platform,
    target: &Target<'_>,
    wanted: Option<&Map<String, Value>>,
) -> Result<Map<String, Value>, ApiError> {
    let before = (platform.account.block_volumes.clone(), platform.account.local_volumes.clone());
    let made = each(platform, target, wanted).and_then(|made| check_sum(target, made));
    if made.is_err() {
        (platform.account.block_volumes, platform.account.local_volumes) = before;
    }
    made
}

fn each(
    platform: &mut Platform,
    target: &Target<'_>,
    wanted: Option<&Map<String, Value>>,
) -> Result<Map<String, Value>, ApiError> {
    let none = Map::new();
    let wanted = wanted.unwrap_or(&none);
    let mut made = Map::new();
    // The volume of the image is made even if the object does not mention it.
    if target.image.is_some() && !wanted.contains_key("0") {
        made.insert("0".to_owned(), one(platform, target, "0", &Map::new())?);
    }
    for (key, value) in wanted {
        if key.parse::<u8>().is_err() {
            return Err(ApiError::argument(&format!("volumes.{key}"), "format", "a number"));
        }
        let Value::Object(fields) = value else {
            return Err(ApiError::argument(&format!("volumes.{key}"), "format", "an object"));
        };
        made.insert(key.clone(), one(platform, target, key, fields)?);
    }
    Ok(made)
}

/// Makes or attaches one volume.
fn one(
    platform: &mut Platform,
    target: &Target<'_>,
    key: &str,
    fields: &Map<String, Value>,
) -> Result<Value, ApiError> {
    let argument = |name: &str| format!("volumes.{key}.{name}");
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let required = |name: &str| text(name).ok_or_else(|| ApiError::required(&argument(name)));
    let source = match (text("id"), text("base_snapshot")) {
        (Some(id), _) => Source::Volume(id),
        (None, Some(_)) => Source::Snapshot,
        (None, None) if key == "0" && target.image.is_some() => Source::Image,
        (None, None) => Source::Empty,
    };
    let kind = match source {
        Source::Image => text("volume_type").unwrap_or_else(|| default_kind(target)),
        // A local volume is attached by its id alone.
        Source::Volume(_) => text("volume_type").unwrap_or("l_ssd"),
        Source::Snapshot | Source::Empty => required("volume_type")?,
    };
    if !["l_ssd", "sbs_volume", "scratch"].contains(&kind) {
        return Err(ApiError::constraint(&argument("volume_type"), "l_ssd, sbs_volume, scratch"));
    }
    let name = match source {
        Source::Image => text("name").unwrap_or("image"),
        Source::Volume(_) => "",
        Source::Snapshot | Source::Empty => required("name")?,
    };
    let size = size(fields, &argument("size"))?;
    if matches!(source, Source::Empty) && size.is_none() {
        return Err(ApiError::required(&argument("size")));
    }
    check_kind(target, &source, kind, size, &argument)?;
    let mut volume = match (kind, source) {
        (_, Source::Volume(id)) => existing(platform, target.zone, target.id, kind, id)?,
        ("sbs_volume", _) => {
            let size = size.unwrap_or(IMAGE_SIZE);
            let id = block::add(&mut platform.account, target.zone, name, size, 5000);
            existing(platform, target.zone, target.id, kind, &id)?
        }
        _ => {
            let by_label = target.image.is_some() && target.is_by_label;
            let most = if by_label { IMAGE_SIZE } else { target.server_type.max_local.max(IMAGE_SIZE) };
            let id = platform.account.identifier("volume");
            json!({"id": id, "name": name, "size": size.unwrap_or(most), "server": {"id": target.id, "name": ""}})
        }
    };
    let boot = fields.get("boot").and_then(Value::as_bool).unwrap_or_default();
    set_common_fields(&mut volume, kind, target.zone, boot);
    Ok(volume)
}

/// Sets the fields that each volume of an Instance has.
pub(super) fn set_common_fields(volume: &mut Value, kind: &str, zone: &str, boot: bool) {
    volume["volume_type"] = json!(kind);
    volume["boot"] = json!(boot);
    volume["zone"] = json!(zone);
    volume["state"] = json!("available");
}

/// The size in bytes, if there is one.
fn size(fields: &Map<String, Value>, argument: &str) -> Result<Option<u64>, ApiError> {
    match fields.get("size") {
        None | Some(Value::Null) => Ok(None),
        Some(size) => size.as_u64().map(Some).ok_or_else(|| ApiError::argument(argument, "format", "bytes")),
    }
}

/// Attaches a volume that exists to this Instance: a block volume, or a local one of an Instance that does not have it any more.
pub(super) fn existing(
    platform: &mut Platform,
    zone: &str,
    server: &str,
    kind: &str,
    id: &str,
) -> Result<Value, ApiError> {
    if kind == "sbs_volume" {
        block::attach(&mut platform.account, zone, id, server)?;
        return Ok(json!({ "id": id }));
    }
    let free = &mut platform.account.local_volumes;
    let volume = find::document(free, "instance_volume", zone, id)?.clone();
    free.retain(|other| other["id"] != id);
    Ok(volume)
}

/// Checks how much local storage all volumes use, and how many scratch volumes there are.
fn check_sum(target: &Target<'_>, made: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    let of = |kind: &'static str| made.values().filter(move |volume| volume["volume_type"] == kind);
    let used: u64 = of("l_ssd").filter_map(|volume| volume["size"].as_u64()).sum();
    if used > target.server_type.max_local {
        let help = format!("at most {} bytes of local storage", target.server_type.max_local);
        return Err(ApiError::constraint("volumes", help));
    }
    let count = of("scratch").count() as u64;
    if count > target.server_type.max_scratch_volumes {
        return Err(ApiError::constraint("volumes", "too many scratch volumes"));
    }
    Ok(made)
}

/// The type of the image's volume, if the request names none.
fn default_kind(target: &Target<'_>) -> &'static str {
    match target.image {
        _ if target.is_by_label => "sbs_volume",
        Some(_) if target.server_type.max_local > 0 => "l_ssd",
        Some(image) if image.kind == "instance_local" => "l_ssd",
        _ => "sbs_volume",
    }
}

/// Checks that the type of the Instance has volumes of this kind and size.
fn check_kind(
    target: &Target<'_>,
    source: &Source<'_>,
    kind: &str,
    size: Option<u64>,
    argument: &dyn Fn(&str) -> String,
) -> Result<(), ApiError> {
    let limit = match kind {
        "l_ssd" => target.server_type.max_local,
        "scratch" => target.server_type.max_scratch,
        _ => u64::MAX,
    };
    if limit == 0 {
        let help = format!("{} has no such volumes", target.server_type.name);
        return Err(ApiError::constraint(&argument("volume_type"), help));
    }
    if kind == "scratch" && !matches!(source, Source::Empty) {
        return Err(ApiError::constraint(&argument("volume_type"), "a scratch volume is empty"));
    }
    let least = if matches!(source, Source::Image) { IMAGE_SIZE } else { GIGABYTE };
    if size.is_some_and(|size| size > limit || size < least || kind == "sbs_volume" && size % GIGABYTE != 0) {
        return Err(ApiError::constraint(&argument("size"), format!("from {least} to {limit} bytes")));
    }
    if size.is_some() && kind == "l_ssd" && matches!(source, Source::Snapshot) {
        return Err(ApiError::constraint(&argument("size"), "it is that of the snapshot"));
    }
    Ok(())
}

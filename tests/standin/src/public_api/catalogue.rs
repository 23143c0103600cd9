//! What can be ordered: types of Instances and volumes, and the local images of the marketplace. The data are in fixtures/catalogue.json.

use serde_json::{Value, json};

use super::error::ApiError;
use super::page;
use super::request::Request;
use super::routes::ZONES;
use crate::http::Answer;
use crate::platform::{Platform, uuid};

/// A type of Instances, as far as other modules need it.
#[derive(Debug, Clone)]
pub(super) struct ServerType {
    pub(super) name: String,
    pub(super) arch: String,
    /// The maximum size of local volumes in bytes; 0 means that there are none.
    pub(super) max_local: u64,
    pub(super) max_scratch: u64,
    pub(super) max_scratch_volumes: u64,
}

/// An image of the marketplace in one zone.
#[derive(Debug, Clone)]
pub(super) struct LocalImage {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) label: String,
    pub(super) arch: String,
    /// `instance_sbs` or `instance_local`.
    pub(super) kind: String,
    zone: String,
    version: String,
    image: String,
}

fn catalogue() -> Value {
    serde_json::from_str(include_str!("../../fixtures/catalogue.json")).expect("the fixture is valid JSON")
}

fn entries(name: &str) -> Vec<(String, Value)> {
    match catalogue()[name].take() {
        Value::Object(object) => object.into_iter().collect(),
        _ => Vec::new(),
    }
}

/// The type with this name.
pub(super) fn server_type(name: &str) -> Option<ServerType> {
    let (name, entry) = entries("servers").into_iter().find(|(entry, _)| entry == name)?;
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    Some(ServerType {
        name,
        arch: entry["arch"].as_str().unwrap_or_default().to_owned(),
        max_local: number(&entry["volumes_constraint"]["max_size"]),
        max_scratch: number(&entry["scratch_storage_max_size"]),
        max_scratch_volumes: number(&entry["scratch_storage_max_volumes_count"]),
    })
}

/// `GET …/products/servers`
pub(super) fn server_types(_: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    page::v1_object(request, "servers", entries("servers"))
}

/// `GET …/products/servers/availability`
pub(super) fn availability(_: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let all = entries("servers").into_iter().map(|(name, _)| (name, json!({"availability": "available"})));
    page::v1_object(request, "servers", all.collect())
}

/// `GET …/products/volumes`
pub(super) fn volume_types(_: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    page::v1_object(request, "volumes", entries("volumes"))
}

/// The local images of a zone. Their identifiers are the same in each run.
pub(super) fn local_images(zone: &str) -> Vec<LocalImage> {
    let mut all = Vec::new();
    for (label, entry) in entries("images") {
        let texts = |name: &str| -> Vec<String> {
            let values = entry[name].as_array().into_iter().flatten();
            values.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        for arch in texts("archs") {
            for kind in texts(&arch) {
                all.push(LocalImage {
                    id: uuid(&("local-image", zone, &label, &arch, &kind)),
                    name: entry["name"].as_str().unwrap_or_default().to_owned(),
                    version: uuid(&("version", &label)),
                    image: uuid(&("image", &label)),
                    label: label.clone(),
                    arch: arch.clone(),
                    kind,
                    zone: zone.to_owned(),
                });
            }
        }
    }
    all
}

impl LocalImage {
    fn document(&self) -> Value {
        let fits = |entry: &Value| {
            let has_local = entry["volumes_constraint"]["max_size"].as_u64().is_some_and(|size| size > 0);
            entry["arch"] == self.arch && (self.kind == "instance_sbs" || has_local)
        };
        let types = entries("servers").into_iter().filter(|(_, entry)| fits(entry)).map(|(name, _)| name);
        json!({
            "id": self.id, "arch": self.arch, "zone": self.zone, "label": self.label, "type": self.kind,
            "compatible_commercial_types": types.collect::<Vec<_>>(),
        })
    }
}

/// `GET /marketplace/v2/images`
pub(super) fn list_images(_: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let document = |(label, entry): (String, Value)| {
        json!({
            "id": uuid(&("image", &label)), "name": entry["name"], "label": label, "description": "", "logo": "",
            "categories": [], "created_at": null, "updated_at": null, "valid_until": null,
        })
    };
    page::list(request, "images", entries("images").into_iter().map(document).collect())
}

/// `GET /marketplace/v2/versions`: each image has one.
pub(super) fn list_versions(_: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let id = request.parameter("image_id").ok_or_else(|| ApiError::required("image_id"))?;
    let of_image = |(label, entry): (String, Value)| {
        let document = json!({
            "id": uuid(&("version", &label)), "name": entry["name"], "created_at": null, "updated_at": null,
            "published_at": null,
        });
        (uuid(&("image", &label)) == id).then_some(document)
    };
    let found: Vec<_> = entries("images").into_iter().filter_map(of_image).collect();
    if found.is_empty() {
        return Err(ApiError::not_found("MarketplaceImage", id));
    }
    page::list(request, "versions", found)
}

/// `GET /marketplace/v2/local-images`, with exactly one of three parameters.
pub(super) fn list_local_images(_: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let exclusive = ["image_id", "version_id", "image_label"];
    let given: Vec<_> =
        exclusive.into_iter().filter_map(|name| Some((name, request.parameter(name)?))).collect();
    let [(name, value)] = given[..] else {
        let help = format!("exactly one of {}", exclusive.join(", "));
        return Err(ApiError::constraint("image_label", help));
    };
    let zones: Vec<_> = request.parameter("zone").map_or_else(|| ZONES.to_vec(), |zone| vec![zone]);
    let of = |image: &LocalImage| match name {
        "image_id" => image.image == value,
        "version_id" => image.version == value,
        _ => image.label == value,
    };
    let all: Vec<_> = ZONES.iter().flat_map(|zone| local_images(zone)).filter(of).collect();
    if all.is_empty() {
        return Err(ApiError::not_found("MarketplaceImage", value));
    }
    let is_wanted = |image: &&LocalImage| {
        let has = |name: &str, of: &str| request.parameter(name).is_none_or(|wanted| wanted == of);
        zones.contains(&image.zone.as_str()) && has("arch", &image.arch) && has("type", &image.kind)
    };
    page::list(request, "local_images", all.iter().filter(is_wanted).map(LocalImage::document).collect())
}

/// `GET /marketplace/v2/local-images/{image}`
pub(super) fn get_local_image(_: &mut Platform, request: &Request<'_>) -> Result<Answer, ApiError> {
    let id = request.part("image");
    let image = ZONES.iter().flat_map(|zone| local_images(zone)).find(|image| image.id == id);
    let image = image.ok_or_else(|| ApiError::not_found("MarketplaceLocalImage", id))?;
    Ok(Answer::json(&image.document()))
}

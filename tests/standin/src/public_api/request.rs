//! The parts of a request to the public API.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::error::ApiError;

/// A request whose path is one of the API.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// The path, without the query.
    pub(super) path: &'a str,
    /// The values of the parts of the path that vary, decoded, with their names.
    pub(super) parts: Vec<(&'static str, String)>,
    /// The last part of the path: user data keys are bytes.
    pub(super) last: Vec<u8>,
    /// The query, decoded, in its order.
    pub(super) query: Vec<(String, String)>,
    pub(super) body: &'a [u8],
}

impl Request<'_> {
    /// A part of the path. It is empty if the route has no part of this name.
    pub(super) fn part(&self, name: &str) -> &str {
        self.parts.iter().find(|(part, _)| *part == name).map_or("", |(_, value)| value)
    }

    /// The zone of the path. It is empty in an API without zones in paths.
    pub(super) fn zone(&self) -> &str {
        self.part("zone")
    }

    /// The first value of a parameter of the query. An empty one counts as absent.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let mut values = self.query.iter().filter(|(key, value)| key == name && !value.is_empty());
        values.next().map(|(_, value)| value.as_str())
    }

    /// The values of a parameter that is a list: separated by commas, or repeated.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        let values = self.query.iter().filter(|(key, _)| key == name);
        values.flat_map(|(_, value)| value.split(',')).filter(|value| !value.is_empty()).collect()
    }

    /// Whether a resource is of the project and the organization of the query, which SDKs add to every list.
    pub(super) fn is_of_project(&self, resource: &Value) -> bool {
        let is_of = |name: &str| self.parameter(name).is_none_or(|wanted| resource[name] == wanted);
        ["project", "organization", "project_id"].into_iter().all(is_of)
    }

    /// The JSON object in the body.
    pub(super) fn object(&self) -> Result<Map<String, Value>, ApiError> {
        match serde_json::from_slice(self.body) {
            Ok(Value::Object(object)) => Ok(object),
            _ => Err(ApiError::argument("body", "format", "a JSON object")),
        }
    }
}

/// The parameters of a query.
pub(super) fn parse_query(query: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key), decoded(value))
        })
        .collect()
}

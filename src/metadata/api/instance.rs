//! The Instance as `/conf?format=json` describes it.
//!
//! Only the fields that this program uses are read. Every field except the id may be absent or null. The platform adds and removes
//! fields without notice, so unknown fields are ignored.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The fields of the `/conf` document that this program uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The identity of the Instance.
    pub id: InstanceId,
    /// The name that the owner gave it.
    #[serde(default)]
    pub name: Option<String>,
    /// The host name that the platform assigned to it.
    #[serde(default)]
    pub hostname: Option<String>,
    /// The zone, such as `fr-par-1`. It is the top-level field, because `location.zone_id` still has old spellings.
    #[serde(default)]
    pub zone: Option<String>,
    /// The Instance type, such as `PLAY2-PICO`.
    #[serde(default)]
    pub commercial_type: Option<String>,
}

/// The identity of an Instance: a UUID in lower case.
///
/// It decides whether this disk now belongs to another Instance, so only a UUID is accepted. A document without a valid `id` is
/// an error and never means "another Instance" (invariant H1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(String);

/// The text is not a UUID.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("an Instance id must be a UUID such as daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86")]
pub struct NotAnInstanceId;

impl InstanceId {
    /// The UUID as text, lower case, 36 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for InstanceId {
    type Error = NotAnInstanceId;

    fn try_from(text: String) -> Result<Self, NotAnInstanceId> {
        let hyphens = [8, 13, 18, 23];
        let is_uuid = text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| {
                if hyphens.contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() }
            });
        if is_uuid { Ok(Self(text.to_ascii_lowercase())) } else { Err(NotAnInstanceId) }
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_with_only_an_id_is_accepted() {
        let instance: Instance =
            serde_json::from_str(r#"{"id":"DAA2EA5A-0ee6-4cdc-9f1a-e0d1cb4e6d86","zone":null,"new":[1]}"#)
                .expect("json");
        assert_eq!(instance.id.as_str(), "daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86");
        assert_eq!(instance.zone, None);
    }

    #[test]
    fn id_that_is_no_uuid_is_an_error() {
        for id in [
            "",
            "null",
            "daa2ea5a",
            "daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d8g",
            "daa2ea5a00ee6-4cdc-9f1a-e0d1cb4e6d86",
        ] {
            assert!(serde_json::from_str::<Instance>(&format!(r#"{{"id":"{id}"}}"#)).is_err(), "{id}");
        }
        assert!(serde_json::from_str::<Instance>("{}").is_err());
    }
}

//! The Instance as `/conf?format=json` describes it. Only what this program uses is read; every field may be
//! absent or null, and unknown ones come and go without notice.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The part of the `/conf` document that is used here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Which Instance this is.
    pub id: InstanceId,
    /// The name that its owner gave it.
    #[serde(default)]
    pub name: Option<String>,
    /// The host name that the platform wants for it.
    #[serde(default)]
    pub hostname: Option<String>,
    /// For instance `fr-par-1`. The top-level field: `location.zone_id` still has old spellings.
    #[serde(default)]
    pub zone: Option<String>,
    /// For instance `PLAY2-PICO`.
    #[serde(default)]
    pub commercial_type: Option<String>,
}

/// The identity of an Instance, a UUID in lower case.
///
/// It decides whether this disk now belongs to another machine, so nothing else than a UUID is taken for one: a
/// document without a good `id` is an error, never "another Instance" (law H1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(String);

/// The text is not a UUID.
#[derive(Debug, PartialEq, Eq)]
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
        let good = text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| {
                if hyphens.contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() }
            });
        if good { Ok(Self(text.to_ascii_lowercase())) } else { Err(NotAnInstanceId) }
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

impl fmt::Display for NotAnInstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an Instance id must be a UUID such as daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86")
    }
}

impl std::error::Error for NotAnInstanceId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_with_nothing_but_an_id_is_enough() {
        let instance: Instance =
            serde_json::from_str(r#"{"id":"DAA2EA5A-0ee6-4cdc-9f1a-e0d1cb4e6d86","zone":null,"new":[1]}"#)
                .expect("json");
        assert_eq!(instance.id.as_str(), "daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86");
        assert_eq!(instance.zone, None);
    }

    #[test]
    fn an_id_that_is_no_uuid_is_an_error_and_not_another_instance() {
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

//! What the owner gave the Instance, in `/conf?format=json`: tags and account keys. An element of another form is skipped.

use serde_json::Value;

use crate::metadata::api::instance_details::{items, tags, text};

/// The owner's tags and SSH keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OwnerData {
    /// The tags. They may have secrets.
    pub tags: Vec<String>,
    /// The text of each key of the account, as a line of authorized_keys.
    pub account_keys: Vec<String>,
}

impl OwnerData {
    /// The tags and keys in a `/conf` document.
    pub(crate) fn of_document(conf: &Value) -> Self {
        Self {
            tags: tags(conf),
            account_keys: items(conf, "ssh_public_keys")
                .into_iter()
                .filter_map(|(_, key)| text(key, "key"))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn elements_of_another_form_are_skipped() {
        let full = json!({"id": 1, "tags": ["a", null, "b"], "ssh_public_keys": [{"key": "k"}, {}, "x", {"key": null}]});
        let expected = OwnerData { tags: vec!["a".into(), "b".into()], account_keys: vec!["k".into()] };
        assert_eq!(OwnerData::of_document(&full), expected);
        for nothing in [
            json!({}),
            json!({"tags": null, "ssh_public_keys": null}),
            json!({"tags": 1, "ssh_public_keys": "k"}),
        ] {
            assert_eq!(OwnerData::of_document(&nothing), OwnerData::default(), "{nothing}");
        }
    }
}

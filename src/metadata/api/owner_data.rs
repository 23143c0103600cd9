//! What the owner gave the Instance, in `/conf?format=json`: tags and account keys. A tag of another form is skipped.

use base64ct::{Base64Unpadded, Encoding};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::metadata::api::instance_details::{items, tags, text};

/// The beginning of a tag with an SSH key.
pub(crate) const KEY_TAG: &str = "AUTHORIZED_KEY=";

/// The owner's tags and SSH keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OwnerData {
    /// The tags. They may have secrets.
    pub tags: Vec<String>,
    /// The text of each key of the account, as a line of authorized_keys. Empty for an element of another form, which may be a key.
    pub account_keys: Vec<String>,
}

impl OwnerData {
    /// The tags and keys in a `/conf` document.
    pub(crate) fn of_document(conf: &Value) -> Self {
        Self {
            tags: tags(conf),
            account_keys: items(conf, "ssh_public_keys")
                .into_iter()
                .map(|(_, key)| text(key, "key").unwrap_or_default())
                .collect(),
        }
    }

    /// A digest of the SSH keys. It differs when the account's keys or those in tags do.
    pub(crate) fn digest(&self) -> String {
        let mut digest = Sha256::new();
        let tags = self.tags.iter().filter(|tag| tag.starts_with(KEY_TAG));
        for text in self.account_keys.iter().chain(tags) {
            digest.update(text.len().to_le_bytes());
            digest.update(text);
        }
        Base64Unpadded::encode_string(&digest.finalize())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn elements_of_another_form_are_no_values() {
        let full = json!({"id": 1, "tags": ["a", null, "b"], "ssh_public_keys": [{"key": "k"}, {}, "x", {"key": null}]});
        let account_keys = ["k", "", "", ""].map(str::to_owned).to_vec();
        let expected = OwnerData { tags: vec!["a".into(), "b".into()], account_keys };
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

//! What the owner gave the Instance, in `/conf?format=json`: tags and account keys. An element of another form is skipped.

use serde::Deserialize;
use serde_json::Value;

/// The owner's tags and SSH keys.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub struct OwnerData {
    /// The tags. They may have secrets.
    #[serde(default, deserialize_with = "strings")]
    pub tags: Vec<String>,
    /// The text of each key of the account, as a line of authorized_keys.
    #[serde(default, rename = "ssh_public_keys", deserialize_with = "keys")]
    pub account_keys: Vec<String>,
}

fn strings<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(elements(Value::deserialize(from)?).into_iter().filter_map(into_string).collect())
}

fn keys<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let key = |mut element: Value| into_string(element.get_mut("key")?.take());
    Ok(elements(Value::deserialize(from)?).into_iter().filter_map(key).collect())
}

fn elements(value: Value) -> Vec<Value> {
    if let Value::Array(elements) = value { elements } else { Vec::new() }
}

fn into_string(value: Value) -> Option<String> {
    if let Value::String(text) = value { Some(text) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_another_form_are_skipped() {
        let parse = |text: &str| serde_json::from_str::<OwnerData>(text).expect("parsed");
        let full =
            parse(r#"{"id":1,"tags":["a",null,1,"b"],"ssh_public_keys":[{"key":"k"},{},"x",{"key":null}]}"#);
        assert_eq!((full.tags, full.account_keys), (vec!["a".into(), "b".into()], vec!["k".to_owned()]));
        for text in
            ["{}", r#"{"tags":null,"ssh_public_keys":null}"#, r#"{"tags":{"a":1},"ssh_public_keys":"k"}"#]
        {
            assert_eq!(parse(text), OwnerData::default(), "{text}");
        }
    }
}

//! The text form in the style of shell variables, made from the JSON form. This module only writes it; it has no parser.

use serde_json::Value;

/// The text form of a JSON object: each entry's key in upper case, `=`, and its value.
pub(super) fn document(value: &Value) -> String {
    let mut out = String::new();
    if let Value::Object(entries) = value {
        for (key, value) in entries {
            entry(&mut out, &key.to_uppercase(), value);
        }
    }
    out
}

/// The value of an object is its keys, that of a list is its length. Their members follow, each with a longer name.
fn entry(out: &mut String, name: &str, value: &Value) {
    match value {
        Value::Object(entries) => {
            let names: Vec<_> = entries.keys().map(|key| key.to_uppercase()).collect();
            line(out, name, &names.join(" "));
            for (sub, value) in names.iter().zip(entries.values()) {
                entry(out, &format!("{name}_{sub}"), value);
            }
        }
        Value::Array(items) => {
            line(out, name, &items.len().to_string());
            for (index, value) in items.iter().enumerate() {
                entry(out, &format!("{name}_{index}"), value);
            }
        }
        Value::Bool(true) => line(out, name, "True"),
        Value::Bool(false) => line(out, name, "False"),
        Value::Null => line(out, name, ""),
        Value::String(text) => line(out, name, text),
        Value::Number(number) => line(out, name, &number.to_string()),
    }
}

fn line(out: &mut String, name: &str, value: &str) {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,=".contains(c);
    out.push_str(name);
    out.push('=');
    if value.chars().all(is_plain) {
        out.push_str(value);
    } else {
        // The API's description does not say how to write a quote inside of a value. This form is what a POSIX shell reads.
        out.push_str(&format!("'{}'", value.replace('\'', r"'\''")));
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_of_value_has_its_documented_form() {
        let table = [
            (json!({"tags": ["test"]}), "TAGS=1\nTAGS_0=test\n"),
            (json!({"tags": []}), "TAGS=0\n"),
            (json!({"flag": true, "gone": null, "off": false}), "FLAG=True\nGONE=\nOFF=False\n"),
            (
                json!({"volumes": {"0": {"size": 20_000_000_000_u64}, "1": {"size": 1}}}),
                "VOLUMES='0 1'\nVOLUMES_0=SIZE\nVOLUMES_0_SIZE=20000000000\nVOLUMES_1=SIZE\nVOLUMES_1_SIZE=1\n",
            ),
            (
                json!({"ssh_public_keys": [{"id": "x-1", "key": "ssh-ed25519 AAAA me"}]}),
                "SSH_PUBLIC_KEYS=1\nSSH_PUBLIC_KEYS_0='ID KEY'\nSSH_PUBLIC_KEYS_0_ID=x-1\n\
                 SSH_PUBLIC_KEYS_0_KEY='ssh-ed25519 AAAA me'\n",
            ),
            (json!({"name": "it's $HOME"}), "NAME='it'\\''s $HOME'\n"),
        ];
        for (value, text) in table {
            assert_eq!(document(&value), text);
        }
    }
}

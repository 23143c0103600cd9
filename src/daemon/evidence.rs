//! What an answer of the metadata service shows about the published value (invariant H4). Pure.

use crate::host_keys::published_value::Published;
use crate::metadata::api::request::Request;
use crate::metadata::api::response::Response;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::metadata::error::TransportError;

/// What is known after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueEvidence {
    /// The value was read, and it is right.
    Right,
    /// The value is not set or has another content, or a write may have changed it.
    Wrong,
    /// The answer shows nothing about the value.
    Nothing,
}

/// What this answer shows. `published` is the value that should be published.
pub(crate) fn evidence(
    published: &Published,
    request: &Request,
    answer: &Result<Response, TransportError>,
) -> ValueEvidence {
    if let Err(TransportError::NotConnected(_) | TransportError::NotAnInstance(_)) = answer {
        return ValueEvidence::Nothing;
    }
    let fingerprints = UserDataKey::fingerprints();
    let status = answer.as_ref().map_or(0, |answer| answer.status);
    match request {
        Request::GetUserData(key) if *key == fingerprints => match answer {
            Ok(answer) if status == 200 && published.has_same_lines(&answer.body) => ValueEvidence::Right,
            _ if matches!(status, 200 | 204 | 404) => ValueEvidence::Wrong,
            _ => ValueEvidence::Nothing,
        },
        // A write of the right value is not yet proof that it is stored.
        Request::SetUserData(key, value) if *key == fingerprints && published.has_same_lines(value) => {
            ValueEvidence::Nothing
        }
        Request::SetUserData(key, _) | Request::DeleteUserData(key) if *key == fingerprints => {
            // Only a refusal shows that nothing was changed. A write without an answer may have been made.
            if matches!(status, 400 | 401 | 403 | 405 | 413 | 429) {
                ValueEvidence::Nothing
            } else {
                ValueEvidence::Wrong
            }
        }
        Request::ListUserData(_) => match answer {
            Ok(answer) if status == 200 && !names(&answer.body, &fingerprints) => ValueEvidence::Wrong,
            _ => ValueEvidence::Nothing,
        },
        _ => ValueEvidence::Nothing,
    }
}

/// Whether a list of keys, as text or JSON, has this key.
fn names(list: &[u8], key: &UserDataKey) -> bool {
    let is_part_of_a_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    list.split(|byte| !is_part_of_a_name(byte)).any(|name| name == key.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use hyper::body::Bytes;

    use super::*;
    use crate::host_keys::key::public_key::PublicKey;
    use crate::host_keys::published_value::published_value;
    use crate::metadata::api::request::Format;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPbatW6deZ5lBPqVQrgZ5m5azJVn84DsrzVkjUxxOf0X x";

    #[test]
    fn h4_table_of_what_an_answer_shows() {
        let published = published_value([&PublicKey::parse(KEY).expect("a key")]).expect("one key");
        let right = published.as_str();
        let (key, other) = (UserDataKey::fingerprints(), UserDataKey::cloud_init());
        let get = || Request::GetUserData(key.clone());
        let set = |value: &str| Request::SetUserData(key.clone(), Bytes::from(value.to_owned()));
        let delete = || Request::DeleteUserData(key.clone());
        let (text, json) = (Request::ListUserData(Format::Text), Request::ListUserData(Format::Json));
        for (request, status, body, expected) in [
            (get(), 200, right, ValueEvidence::Right),
            (get(), 200, "256 SHA256:another x (ED25519)", ValueEvidence::Wrong),
            (get(), 200, "", ValueEvidence::Wrong),
            (get(), 204, "", ValueEvidence::Wrong),
            (get(), 404, right, ValueEvidence::Wrong),
            (get(), 403, right, ValueEvidence::Nothing),
            (get(), 429, "", ValueEvidence::Nothing),
            (get(), 0, "", ValueEvidence::Nothing),
            (set(right), 204, "", ValueEvidence::Nothing),
            (set("x"), 204, "", ValueEvidence::Wrong),
            (set("x"), 429, "", ValueEvidence::Nothing),
            (set("x"), 500, "", ValueEvidence::Wrong),
            (set("x"), 0, "", ValueEvidence::Wrong),
            (delete(), 204, "", ValueEvidence::Wrong),
            (delete(), 404, "", ValueEvidence::Wrong),
            (delete(), 403, "", ValueEvidence::Nothing),
            (delete(), 0, "", ValueEvidence::Wrong),
            (Request::DeleteUserData(other.clone()), 204, "", ValueEvidence::Nothing),
            (Request::GetUserData(other), 404, "", ValueEvidence::Nothing),
            (text.clone(), 200, "USER_DATA=1\nUSER_DATA_0=ssh-host-fingerprints\n", ValueEvidence::Nothing),
            (text.clone(), 200, "USER_DATA=1\nUSER_DATA_0=my.ssh-host-fingerprints\n", ValueEvidence::Wrong),
            (text, 403, "# For security reason", ValueEvidence::Nothing),
            (
                json.clone(),
                200,
                r#"{"user_data":["cloud-init","ssh-host-fingerprints"]}"#,
                ValueEvidence::Nothing,
            ),
            (json.clone(), 200, r#"{"user_data":null}"#, ValueEvidence::Wrong),
            (json, 0, "", ValueEvidence::Nothing),
            (Request::Probe, 200, "", ValueEvidence::Nothing),
        ] {
            let answer = match status {
                0 => Err(TransportError::ConnectionLost(String::new())),
                _ => Ok(Response { status, headers: HeaderMap::new(), body: Bytes::from(body.to_owned()) }),
            };
            assert_eq!(evidence(&published, &request, &answer), expected, "{request}: {status} {body:?}");
        }
        let not_sent = Err(TransportError::NotConnected(vec![]));
        assert_eq!(evidence(&published, &delete(), &not_sent), ValueEvidence::Nothing);
    }
}

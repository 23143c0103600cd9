//! The table of paths, methods and source ports, and the answer to each request. This module must never depend on sockets or faults.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::text_form;
use crate::http::Answer;
use crate::options::{Dialect, EmptyValue, HighPort, PatchStatus};
use crate::platform::Platform;

/// The parts of a request that the answer depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) source_port: u16,
}

/// A resource of the API.
#[derive(Debug, PartialEq, Eq)]
enum Resource {
    Root,
    Conf,
    Keys,
    UserData(Vec<u8>),
    VendorData,
    State,
}

impl Resource {
    fn at(path: &str) -> Option<Resource> {
        match path {
            "/" => Some(Resource::Root),
            "/conf" => Some(Resource::Conf),
            "/user_data" | "/user_data/" => Some(Resource::Keys),
            "/vendor_data/cloud-init" => Some(Resource::VendorData),
            "/state" => Some(Resource::State),
            _ => {
                let key = path.strip_prefix("/user_data/")?;
                // A slash that is part of a key must be percent-encoded.
                (!key.contains('/')).then(|| Resource::UserData(percent_decode_str(key).collect()))
            }
        }
    }

    fn methods(&self) -> &'static [&'static str] {
        match self {
            Resource::Root | Resource::Conf | Resource::Keys | Resource::VendorData => &["GET"],
            Resource::UserData(_) => &["GET", "PATCH", "DELETE"],
            Resource::State => &["PATCH"],
        }
    }

    /// Whether the resource requires a source port below 1024.
    fn is_guarded(&self) -> bool {
        matches!(self, Resource::Keys | Resource::UserData(_) | Resource::VendorData)
    }
}

/// Carries out the request and returns the answer.
pub(crate) fn answer(platform: &mut Platform, dialect: Dialect, call: Call<'_>) -> Answer {
    let (path, query) = call.target.split_once('?').unwrap_or((call.target, ""));
    let json = query.split('&').any(|pair| pair == "format=json");
    let Some(resource) = Resource::at(path) else {
        return Answer::text(404, "not found\n");
    };
    if resource.is_guarded() && call.source_port >= 1024 {
        return high_port(dialect.high_port);
    }
    if !resource.methods().contains(&call.method) {
        return Answer::text(405, "method not allowed\n").with("Allow", resource.methods().join(", "));
    }
    match resource {
        Resource::Root => Answer::json(
            &json!({"api": "api-metadata", "description": "stand-in for the Metadata API", "version": "12.23.0"}),
        ),
        Resource::Conf if json => Answer::json(&platform.conf),
        Resource::Conf => Answer::text(200, text_form::document(&platform.conf)),
        Resource::Keys => keys(&platform.user_data, json),
        Resource::UserData(key) => user_data(&mut platform.user_data, dialect, call, key),
        Resource::VendorData => match &platform.vendor_data {
            Some(value) => Answer::text(200, value.clone()),
            None => Answer::text(404, "not found\n"),
        },
        Resource::State => state(call.body),
    }
}

fn high_port(dialect: HighPort) -> Answer {
    match dialect {
        HighPort::Forbidden => Answer::text(
            403,
            "# For security reason, you need to query user data with a source port below 1024.\n",
        ),
        HighPort::InvalidArgument => Answer::text(400, "invalid argument(s)"),
    }
}

fn keys(user_data: &BTreeMap<Vec<u8>, Vec<u8>>, json: bool) -> Answer {
    let keys: Vec<_> = user_data.keys().map(|key| String::from_utf8_lossy(key)).collect();
    let list = json!({ "user_data": keys });
    if json { Answer::json(&list) } else { Answer::text(200, text_form::document(&list)) }
}

fn user_data(
    values: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    dialect: Dialect,
    call: Call<'_>,
    key: Vec<u8>,
) -> Answer {
    match call.method {
        "PATCH" => {
            values.insert(key, call.body.to_vec());
            match dialect.patch {
                PatchStatus::NoContent => Answer::empty(204),
                PatchStatus::Ok => Answer::empty(200),
            }
        }
        "DELETE" => {
            values.remove(&key);
            Answer::empty(204)
        }
        _ => match (values.get(&key), dialect.empty) {
            (None, _) => Answer::text(404, "not found\n"),
            (Some(value), EmptyValue::NoContent) if value.is_empty() => Answer::empty(204),
            (Some(value), _) => Answer::text(200, value.clone()),
        },
    }
}

fn state(body: &[u8]) -> Answer {
    let parsed = serde_json::from_slice::<Value>(body);
    if parsed.is_ok_and(|value| value["state_detail"].is_string()) {
        Answer::empty(200)
    } else {
        Answer::text(400, "invalid argument(s)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_1023_is_the_last_that_may_read_user_data() {
        let user_data = BTreeMap::from([(b"x".to_vec(), b"v".to_vec())]);
        let mut platform = Platform { user_data, ..Platform::default() };
        for (source_port, status) in [(1, 200), (1023, 200), (1024, 403), (65535, 403)] {
            let call = Call { method: "GET", target: "/user_data/x", body: b"", source_port };
            assert_eq!(answer(&mut platform, Dialect::default(), call).status, status, "{source_port}");
        }
    }
}

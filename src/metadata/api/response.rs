//! From a [`Response`] to an answer: which statuses mean what, for each kind of request.
//!
//! The rule of the room: a body is a value only under a status that says so. A 403's body looks like data
//! and must never be taken for it (law T1).

use std::future::Future;
use std::time::{Duration, SystemTime};

use hyper::HeaderMap;
use hyper::body::Bytes;
use hyper::header::RETRY_AFTER;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::metadata::api::instance::Instance;
use crate::metadata::api::refusal::Refusal;
use crate::metadata::api::request::{Format, Request};
use crate::metadata::api::user_data_key::UserDataKey;
use crate::metadata::error::{MetadataError, TransportError};
use crate::util::printable;

/// A whole HTTP answer: its length was checked against the limit, its end was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Response {
    fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = httpdate::parse_http_date(text).ok()?;
        Some(date.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// What the status says, where it is no answer.
    pub(crate) fn refusal(&self) -> Refusal {
        match self.status {
            400 | 403 => Refusal::SourcePort(self.status),
            429 => Refusal::TooManyRequests(self.retry_after()),
            status @ 500..=599 => Refusal::ServerError(status, self.retry_after()),
            status => Refusal::Unexpected(status),
        }
    }

    /// A value that may be unset: 404 is an answer (law T5), and an empty 200 or a 204 is a value of no bytes.
    fn value(self) -> Result<Option<Bytes>, Refusal> {
        match self.status {
            200 => Ok(Some(self.body)),
            204 => Ok(Some(Bytes::new())),
            404 => Ok(None),
            _ => Err(self.refusal()),
        }
    }

    fn json<T: for<'a> Deserialize<'a>>(self) -> Result<T, Refusal> {
        if self.status != 200 {
            return Err(self.refusal());
        }
        serde_json::from_slice(&self.body).map_err(|why| Refusal::Malformed(printable::json_fault(&why)))
    }

    /// A write: 204, or 200 from older servers.
    fn stored(self) -> Result<(), Refusal> {
        if matches!(self.status, 200 | 204) { Ok(()) } else { Err(self.refusal()) }
    }
}

#[derive(Deserialize)]
struct KeyList {
    /// Names, or null for none. What is no name is passed over, and costs no other its place.
    #[serde(deserialize_with = "names")]
    user_data: Vec<Value>,
}

fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Value>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Whoever can carry a [`Request`] to the API: the client itself, or the daemon's socket.
pub trait Ask {
    /// Carries one request, and brings back the answer as it came.
    fn ask(&mut self, request: Request) -> impl Future<Output = Result<Response, TransportError>>;

    /// The Instance that this machine is.
    fn instance(&mut self) -> impl Future<Output = Result<Instance, MetadataError>> {
        async { Ok(self.ask(Request::Conf(Format::Json)).await?.json()?) }
    }

    /// The user data keys that are set, in byte order. A key that could not be asked for is left out.
    fn list(&mut self) -> impl Future<Output = Result<Vec<UserDataKey>, MetadataError>> {
        async { Ok(self.list_and_rest().await?.0) }
    }

    /// The same, and how many were left out.
    fn list_and_rest(&mut self) -> impl Future<Output = Result<(Vec<UserDataKey>, usize), MetadataError>> {
        async {
            let list: KeyList = self.ask(Request::ListUserData(Format::Json)).await?.json()?;
            let names = list.user_data.iter();
            let mut keys: Vec<_> = names.filter_map(|name| UserDataKey::new(name.as_str()?).ok()).collect();
            let rest = list.user_data.len() - keys.len();
            keys.sort_unstable();
            keys.dedup();
            Ok((keys, rest))
        }
    }

    /// The text of a path that always has one.
    fn text(&mut self, request: Request) -> impl Future<Output = Result<Bytes, MetadataError>> {
        async {
            let response = self.ask(request).await?;
            if response.status == 200 { Ok(response.body) } else { Err(response.refusal().into()) }
        }
    }

    /// The value of a key, `None` where the key is not set.
    fn get(&mut self, key: &UserDataKey) -> impl Future<Output = Result<Option<Bytes>, MetadataError>> {
        async { Ok(self.ask(Request::GetUserData(key.clone())).await?.value()?) }
    }

    /// Sets the whole value of a key.
    fn set(&mut self, key: &UserDataKey, value: Bytes) -> impl Future<Output = Result<(), MetadataError>> {
        async { Ok(self.ask(Request::SetUserData(key.clone(), value)).await?.stored()?) }
    }

    /// Deletes a key; `false` where it was not set.
    fn delete(&mut self, key: &UserDataKey) -> impl Future<Output = Result<bool, MetadataError>> {
        async {
            let response = self.ask(Request::DeleteUserData(key.clone())).await?;
            if response.status == 404 { Ok(false) } else { Ok(response.stored().map(|()| true)?) }
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn response(status: u16, body: &'static [u8]) -> Response {
        Response { status, headers: HeaderMap::new(), body: Bytes::from_static(body) }
    }

    #[test]
    fn only_a_200_or_a_204_is_a_value_and_404_is_an_answer() {
        assert_eq!(response(200, b"v").value(), Ok(Some(Bytes::from_static(b"v"))));
        assert_eq!(response(200, b"").value(), Ok(Some(Bytes::new())));
        assert_eq!(response(204, b"").value(), Ok(Some(Bytes::new())));
        assert_eq!(response(404, b"gone").value(), Ok(None));
        for (status, refusal) in [
            (403, Refusal::SourcePort(403)),
            (400, Refusal::SourcePort(400)),
            (429, Refusal::TooManyRequests(None)),
            (500, Refusal::ServerError(500, None)),
            (302, Refusal::Unexpected(302)),
            (206, Refusal::Unexpected(206)),
        ] {
            assert_eq!(response(status, b"# For security reason").value(), Err(refusal), "{status}");
        }
    }

    #[test]
    fn s3_a_malformed_answer_is_not_quoted() {
        for body in [&br#"{"user_data":"hunter2"}"#[..], br#"{"user_data":{"hunter2":1}}"#, b"hunter2"] {
            let why = response(200, body).json::<KeyList>().map(|_| ()).expect_err("another shape");
            assert!(why.to_string().contains("line 1") && !why.to_string().contains("hunter2"), "{why}");
        }
        let id = br#"{"id":"hunter2"}"#;
        let why = response(200, id).json::<Instance>().expect_err("no id");
        assert!(!why.to_string().contains("hunter2"), "{why}");
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        let after = |text: &'static str| {
            let mut response = response(429, b"");
            response.headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            response.retry_after()
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
    }
}

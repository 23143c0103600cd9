//! From a [`Response`] to a typed answer: what each status means, for each kind of request.
//!
//! A body is a value only if the status says so. The body of a 403 looks like data and must never be used as data (invariant T1).

use std::future::Future;
use std::time::{Duration, SystemTime};

use hyper::HeaderMap;
use hyper::body::Bytes;
use hyper::header::RETRY_AFTER;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::metadata::api::instance::Instance;
use crate::metadata::api::owner_data::OwnerData;
use crate::metadata::api::refusal::Refusal;
use crate::metadata::api::request::{Format, Request};
use crate::metadata::api::state_detail::StateDetail;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::metadata::error::{MetadataError, TransportError};
use crate::util::printable;

/// A complete HTTP response. Its length is within the limit, and its end was received.
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
    /// The value of `Retry-After`, in seconds or as a date.
    fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = httpdate::parse_http_date(text).ok()?;
        Some(date.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// The refusal that the status means. For statuses that do not mean success.
    pub(crate) fn refusal(&self) -> Refusal {
        match self.status {
            400 | 403 => Refusal::SourcePort(self.status),
            429 => Refusal::TooManyRequests(self.retry_after()),
            status @ 500..=599 => Refusal::ServerError(status, self.retry_after()),
            status => Refusal::Unexpected(status),
        }
    }

    /// The value of a key. 404 is an answer: the key is not set (invariant T5). An empty 200 and a 204 are an empty value.
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

    /// Success of a write: 204, or 200 from older servers.
    fn stored(self) -> Result<(), Refusal> {
        if matches!(self.status, 200 | 204) { Ok(()) } else { Err(self.refusal()) }
    }
}

#[derive(Deserialize)]
struct KeyList {
    /// The names, or null if there are none. An element that is not a string is skipped and does not make the list invalid.
    #[serde(deserialize_with = "list_or_null")]
    user_data: Vec<Value>,
}

fn list_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Value>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A way to send a [`Request`] to the Metadata API: the client itself, or the daemon's socket.
pub trait Ask {
    /// Sends one request and returns the response unchanged.
    fn ask(&mut self, request: Request) -> impl Future<Output = Result<Response, TransportError>>;

    /// The same for a request that no other will follow soon. A connection of this program's own is closed after it.
    fn ask_last(&mut self, request: Request) -> impl Future<Output = Result<Response, TransportError>> {
        self.ask(request)
    }

    /// The Instance on which this program runs.
    fn instance(&mut self) -> impl Future<Output = Result<Instance, MetadataError>> {
        async { Ok(self.ask(Request::Conf(Format::Json)).await?.json()?) }
    }

    /// The tags and account keys of the owner.
    fn owner_data(&mut self) -> impl Future<Output = Result<OwnerData, MetadataError>> {
        async { Ok(OwnerData::of_document(&self.conf().await?)) }
    }

    /// The Instance with the tags and account keys of its owner, from one answer.
    fn instance_and_owner_data(
        &mut self,
    ) -> impl Future<Output = Result<(Instance, OwnerData), MetadataError>> {
        async {
            let conf = self.conf().await?;
            let instance = Instance::deserialize(&conf);
            let instance = instance.map_err(|why| Refusal::Malformed(printable::json_fault(&why)))?;
            Ok((instance, OwnerData::of_document(&conf)))
        }
    }

    /// Tells the platform the state of the Instance.
    fn signal_state(&mut self, state: &StateDetail) -> impl Future<Output = Result<(), MetadataError>> {
        async { Ok(self.ask(Request::SetState(state.clone())).await?.stored()?) }
    }

    /// The complete document about the Instance, an object. For commands that show it; nothing else is known about its content.
    fn conf(&mut self) -> impl Future<Output = Result<Value, MetadataError>> {
        async {
            let conf: Map<String, Value> = self.ask(Request::Conf(Format::Json)).await?.json()?;
            Ok(Value::Object(conf))
        }
    }

    /// The user data keys that are set, in byte order. A name that is not a valid key is skipped.
    fn list(&mut self) -> impl Future<Output = Result<Vec<UserDataKey>, MetadataError>> {
        async { Ok(self.list_with_unusable().await?.0) }
    }

    /// The keys as in [`Ask::list`], and the number of names that were skipped.
    fn list_with_unusable(
        &mut self,
    ) -> impl Future<Output = Result<(Vec<UserDataKey>, usize), MetadataError>> {
        async {
            let list: KeyList = self.ask(Request::ListUserData(Format::Json)).await?.json()?;
            let names = list.user_data.iter();
            let mut keys: Vec<_> = names.filter_map(|name| UserDataKey::new(name.as_str()?).ok()).collect();
            let skipped = list.user_data.len() - keys.len();
            keys.sort_unstable();
            keys.dedup();
            Ok((keys, skipped))
        }
    }

    /// The body of a path that always has one.
    fn text(&mut self, request: Request) -> impl Future<Output = Result<Bytes, MetadataError>> {
        async {
            let response = self.ask(request).await?;
            if response.status == 200 { Ok(response.body) } else { Err(response.refusal().into()) }
        }
    }

    /// The value of a key; `None` if the key is not set.
    fn get(&mut self, key: &UserDataKey) -> impl Future<Output = Result<Option<Bytes>, MetadataError>> {
        async { Ok(self.ask(Request::GetUserData(key.clone())).await?.value()?) }
    }

    /// The same as [`Ask::get`], when no other request will follow soon.
    fn get_last(&mut self, key: &UserDataKey) -> impl Future<Output = Result<Option<Bytes>, MetadataError>> {
        async { Ok(self.ask_last(Request::GetUserData(key.clone())).await?.value()?) }
    }

    /// Sets the complete value of a key.
    fn set(&mut self, key: &UserDataKey, value: Bytes) -> impl Future<Output = Result<(), MetadataError>> {
        async { Ok(self.ask(Request::SetUserData(key.clone(), value)).await?.stored()?) }
    }

    /// Deletes a key; `false` if it was not set.
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
    fn t1_only_200_and_204_are_values_and_404_is_an_answer() {
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
    fn s3_malformed_answer_is_not_quoted() {
        for body in [&br#"{"user_data":"hunter2"}"#[..], br#"{"user_data":{"hunter2":1}}"#, b"hunter2"] {
            let why = response(200, body).json::<KeyList>().map(|_| ()).expect_err("another shape");
            assert!(why.to_string().contains("line 1") && !why.to_string().contains("hunter2"), "{why}");
        }
        let id = br#"{"id":"hunter2"}"#;
        let why = response(200, id).json::<Instance>().expect_err("no id");
        assert!(!why.to_string().contains("hunter2"), "{why}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
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

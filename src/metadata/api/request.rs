//! The requests of the Metadata API and their HTTP form.
//!
//! The local API has the same paths, so the conversion from HTTP to a [`Request`] is here, too.

use std::fmt;

use hyper::Method;
use hyper::body::Bytes;
use thiserror::Error;

use crate::metadata::api::state_detail::{NotAState, StateDetail};
use crate::metadata::api::user_data_key::{KeyError, UserDataKey};

/// The format of an answer, for the paths that have two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines `KEY=value`, as in a shell.
    Text,
    /// JSON. This is the only format that this program parses.
    Json,
}

/// One request to the Metadata API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `GET /`: whether a metadata service answers.
    Probe,
    /// `GET /conf`: the Instance.
    Conf(Format),
    /// `GET /user_data`: the keys that are set.
    ListUserData(Format),
    /// `GET /user_data/KEY`: one value.
    GetUserData(UserDataKey),
    /// `PATCH /user_data/KEY`: sets one complete value, so the request may be repeated.
    SetUserData(UserDataKey, Bytes),
    /// `DELETE /user_data/KEY`.
    DeleteUserData(UserDataKey),
    /// `GET /vendor_data/cloud-init`.
    VendorData,
    /// `PATCH /state`: tells the platform the state of the Instance.
    SetState(StateDetail),
}

/// Why an HTTP request is not a request of the Metadata API.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// There is no such path.
    #[error("no such path")]
    UnknownPath,
    /// The path exists and does not accept the method.
    #[error("this path does not accept that method")]
    Method,
    /// The body is no state.
    #[error(transparent)]
    State(NotAState),
    /// The path has an invalid user data key.
    #[error(transparent)]
    Key(KeyError),
}

const KIB: usize = 1024;

impl Request {
    /// The HTTP method.
    pub fn method(&self) -> Method {
        match self {
            Self::SetUserData(..) | Self::SetState(_) => Method::PATCH,
            Self::DeleteUserData(_) => Method::DELETE,
            _ => Method::GET,
        }
    }

    /// The request target: path and query.
    pub fn target(&self) -> String {
        let json = |format: &Format| if *format == Format::Json { "?format=json" } else { "" };
        match self {
            Self::Probe => "/".to_owned(),
            Self::Conf(format) => format!("/conf{}", json(format)),
            Self::ListUserData(format) => format!("/user_data{}", json(format)),
            Self::GetUserData(key) | Self::SetUserData(key, _) | Self::DeleteUserData(key) => {
                format!("/user_data/{}", key.to_path_segment())
            }
            Self::VendorData => "/vendor_data/cloud-init".to_owned(),
            Self::SetState(_) => "/state".to_owned(),
        }
    }

    /// The request body with its content type, if any.
    pub fn body(&self) -> Option<(&'static str, Bytes)> {
        match self {
            // Every known client sends it without a charset.
            Self::SetUserData(_, value) => Some(("text/plain", value.clone())),
            Self::SetState(state) => Some(("application/json", state.to_body())),
            _ => None,
        }
    }

    /// Whether the request changes what the platform stores.
    pub fn writes(&self) -> bool {
        matches!(self, Self::SetUserData(..) | Self::DeleteUserData(_) | Self::SetState(_))
    }

    /// Whether the service answers the request from any source port. User data needs a port below 1024.
    pub fn accepts_any_port(&self) -> bool {
        matches!(self, Self::Probe | Self::Conf(_) | Self::SetState(_))
    }

    /// The size limit of the answer's body in bytes; a larger body is an error (invariant T1).
    ///
    /// A user data value may have up to 1 MiB. Terraform's limit is 127,998 characters; other clients have no limit.
    pub fn max_answer_bytes(&self) -> usize {
        match self {
            Self::Conf(_) => 4 * KIB * KIB,
            _ => KIB * KIB,
        }
    }

    /// Parses a request from its HTTP form.
    pub fn from_http(
        method: &Method,
        path: &str,
        query: Option<&str>,
        body: Bytes,
    ) -> Result<Self, RequestError> {
        let json = query.is_some_and(|query| query.split('&').any(|pair| pair == "format=json"));
        let format = if json { Format::Json } else { Format::Text };
        let get = |request| if method == Method::GET { Ok(request) } else { Err(RequestError::Method) };
        match path {
            "/" => get(Self::Probe),
            "/conf" => get(Self::Conf(format)),
            "/user_data" | "/user_data/" => get(Self::ListUserData(format)),
            "/vendor_data/cloud-init" => get(Self::VendorData),
            "/state" if method == Method::PATCH => {
                StateDetail::from_body(&body).map(Self::SetState).map_err(RequestError::State)
            }
            "/state" => Err(RequestError::Method),
            _ => {
                let segment = path.strip_prefix("/user_data/").ok_or(RequestError::UnknownPath)?;
                if segment.contains('/') {
                    return Err(RequestError::UnknownPath);
                }
                let key = UserDataKey::from_path_segment(segment).map_err(RequestError::Key)?;
                match *method {
                    Method::GET => Ok(Self::GetUserData(key)),
                    Method::PATCH => Ok(Self::SetUserData(key, body)),
                    Method::DELETE => Ok(Self::DeleteUserData(key)),
                    _ => Err(RequestError::Method),
                }
            }
        }
    }
}

impl fmt::Display for Request {
    /// Method and target, never the value (invariant S3).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method(), self.target())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_parsed_from_its_http_form() {
        let key = UserDataKey::new("a/b c").expect("a valid key");
        for request in [
            Request::Probe,
            Request::Conf(Format::Text),
            Request::Conf(Format::Json),
            Request::ListUserData(Format::Text),
            Request::ListUserData(Format::Json),
            Request::GetUserData(key.clone()),
            Request::SetUserData(key.clone(), Bytes::from_static(b"v")),
            Request::DeleteUserData(key),
            Request::VendorData,
            Request::SetState(StateDetail::new("booted").expect("a state")),
        ] {
            let target = request.target();
            let (path, query) = target.split_once('?').map_or((&*target, None), |(p, q)| (p, Some(q)));
            let body = request.body().map(|(_, body)| body).unwrap_or_default();
            let is_user_data = path.starts_with("/user_data") || path.starts_with("/vendor_data");
            assert_eq!(request.accepts_any_port(), !is_user_data, "{path}");
            assert_eq!(Request::from_http(&request.method(), path, query, body), Ok(request));
        }
    }

    #[test]
    fn unknown_path_or_method_is_refused() {
        let parse = |method, path| Request::from_http(&method, path, None, Bytes::new());
        assert_eq!(parse(Method::GET, "/user_data/a/b"), Err(RequestError::UnknownPath));
        assert_eq!(parse(Method::GET, "/state"), Err(RequestError::Method));
        assert_eq!(parse(Method::PATCH, "/state"), Err(RequestError::State(NotAState)));
        assert_eq!(parse(Method::POST, "/user_data/a"), Err(RequestError::Method));
        assert_eq!(parse(Method::DELETE, "/conf"), Err(RequestError::Method));
        assert_eq!(parse(Method::GET, "/user_data/%2e%2e"), Err(RequestError::Key(KeyError::Dots)));
    }

    #[test]
    fn s3_request_is_displayed_without_its_value() {
        let request = Request::SetUserData(UserDataKey::fingerprints(), Bytes::from_static(b"secret"));
        assert_eq!(request.to_string(), "PATCH /user_data/ssh-host-fingerprints");
    }
}

//! What can be asked of the Metadata API: one variant a question, and how each is written in HTTP.
//!
//! The local API takes the same paths, so the way back (HTTP to [`Request`]) is here as well, beside its inverse.

use std::fmt;

use hyper::Method;
use hyper::body::Bytes;

use crate::metadata::api::user_data_key::{KeyError, UserDataKey};

/// The form of an answer that the API gives in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Shell style, `KEY=value` lines.
    Text,
    /// JSON, which is the only form that this program parses.
    Json,
}

/// One question to the Metadata API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `GET /`: is anything there, and is it the Metadata API?
    Probe,
    /// `GET /conf`: the Instance.
    Conf(Format),
    /// `GET /user_data`: which keys are set.
    ListUserData(Format),
    /// `GET /user_data/KEY`: one value.
    GetUserData(UserDataKey),
    /// `PATCH /user_data/KEY`: sets one whole value, so asking twice does no harm.
    SetUserData(UserDataKey, Bytes),
    /// `DELETE /user_data/KEY`.
    DeleteUserData(UserDataKey),
    /// `GET /vendor_data/cloud-init`.
    VendorData,
}

/// Why an HTTP request is none of ours.
#[derive(Debug, PartialEq, Eq)]
pub enum RequestError {
    /// No such path.
    UnknownPath,
    /// The path is there, the method is not.
    Method,
    /// The path names a user data key that cannot be.
    Key(KeyError),
}

const KIB: usize = 1024;

impl Request {
    /// The HTTP method.
    pub fn method(&self) -> Method {
        match self {
            Self::SetUserData(..) => Method::PATCH,
            Self::DeleteUserData(_) => Method::DELETE,
            _ => Method::GET,
        }
    }

    /// The origin form: path and query.
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
        }
    }

    /// What is sent along, if anything; always as `text/plain`.
    pub fn body(&self) -> Option<&Bytes> {
        match self {
            Self::SetUserData(_, value) => Some(value),
            _ => None,
        }
    }

    /// Whether the request changes what the platform stores.
    pub fn writes(&self) -> bool {
        matches!(self, Self::SetUserData(..) | Self::DeleteUserData(_))
    }

    /// Whether the service answers it whatever the source port is. User data takes one below 1024.
    pub fn takes_any_port(&self) -> bool {
        matches!(self, Self::Probe | Self::Conf(_))
    }

    /// The largest answer, in bytes, that makes sense; a larger one is an error (law T1).
    ///
    /// A value of user data may reach 1 MiB: Terraform's limit is 127,998 characters, other clients have none.
    pub fn answer_limit(&self) -> usize {
        match self {
            Self::Conf(_) => 4 * KIB * KIB,
            _ => KIB * KIB,
        }
    }

    /// Reads a request back from its HTTP form.
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
    /// Method and target, never the value (law S3).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method(), self.target())
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPath => f.write_str("no such path"),
            Self::Method => f.write_str("this path does not take that method"),
            Self::Key(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for RequestError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_comes_back_from_its_own_http_form() {
        let key = UserDataKey::new("a/b c").expect("a good key");
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
        ] {
            let target = request.target();
            let (path, query) = target.split_once('?').map_or((&*target, None), |(p, q)| (p, Some(q)));
            let body = request.body().cloned().unwrap_or_default();
            let is_user_data = path.starts_with("/user_data") || path.starts_with("/vendor_data");
            assert_eq!(request.takes_any_port(), !is_user_data, "{path}");
            assert_eq!(Request::from_http(&request.method(), path, query, body), Ok(request));
        }
    }

    #[test]
    fn a_path_or_method_that_the_api_does_not_have_is_refused() {
        let from = |method, path| Request::from_http(&method, path, None, Bytes::new());
        assert_eq!(from(Method::GET, "/user_data/a/b"), Err(RequestError::UnknownPath));
        assert_eq!(from(Method::GET, "/state"), Err(RequestError::UnknownPath));
        assert_eq!(from(Method::POST, "/user_data/a"), Err(RequestError::Method));
        assert_eq!(from(Method::DELETE, "/conf"), Err(RequestError::Method));
        assert_eq!(from(Method::GET, "/user_data/%2e%2e"), Err(RequestError::Key(KeyError::Dots)));
    }

    #[test]
    fn a_request_is_shown_without_its_value() {
        let request = Request::SetUserData(UserDataKey::fingerprints(), Bytes::from_static(b"secret"));
        assert_eq!(request.to_string(), "PATCH /user_data/ssh-host-fingerprints");
    }
}

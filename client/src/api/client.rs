//! One request to the API: its retries, its limits (invariant T1), and the errors for its statuses.
//!
//! There is no redirect, so the secret key goes to no other host; and no request without TLS.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ureq::config::Config;
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::answers::Refusal;
use super::error::ApiError;
use crate::credentials::load::{Credentials, SecretKey};
use crate::util::deadline::Deadline;
use crate::util::printable::printable;

/// The body of an answer. A page of 100 Instances has some 300 kB.
const MAX_BODY: u64 = 8 * 1024 * 1024;

/// A user agent as Scaleway's own programs have one.
const USER_AGENT: &str = concat!("scw-known-hosts/", env!("CARGO_PKG_VERSION"));

/// Before a request is sent again.
const PAUSE: Duration = Duration::from_millis(200);

/// The API with a key. Clones share their connections.
#[derive(Clone)]
pub(crate) struct Api {
    agent: Agent,
    url: String,
    secret_key: SecretKey,
    deadline: Deadline,
}

/// An answer with status 200, 404 or 501.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whether the body is JSON. A 404 without JSON is that of a user data key. A 501 counts as JSON: the zone does not have
    /// the product.
    pub(crate) is_json: bool,
    /// The number of items in all pages.
    pub(crate) total: Option<usize>,
    pub(crate) body: Vec<u8>,
}

impl Api {
    /// With these credentials, until the deadline.
    pub(crate) fn new(credentials: &Credentials, deadline: Deadline) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Config::builder()
            .tls_config(tls)
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(USER_AGENT)
            .build();
        Self {
            agent: config.new_agent(),
            url: credentials.api_url.clone(),
            secret_key: credentials.secret_key.clone(),
            deadline,
        }
    }

    /// The answer to a GET.
    pub(crate) fn get(&self, path: &str) -> Result<Answer, ApiError> {
        let mut pause = PAUSE;
        loop {
            let error = match self.get_once(path) {
                Err(error @ (ApiError::Unreachable(_) | ApiError::TooMany(_))) => error,
                Err(error @ ApiError::Status { status: 500.., .. }) => error,
                result => return result,
            };
            if let ApiError::TooMany(Some(wait)) = &error {
                pause = pause.max(*wait);
            }
            if self.deadline.left().is_none_or(|left| left <= pause) {
                return Err(error);
            }
            std::thread::sleep(pause);
            pause *= 2;
        }
    }

    fn get_once(&self, path: &str) -> Result<Answer, ApiError> {
        let left = self.deadline.left().ok_or(ApiError::Timeout)?;
        let request = self.agent.get(format!("{}{path}", self.url));
        let request = request.header("X-Auth-Token", self.secret_key.header());
        let mut response =
            request.config().timeout_global(Some(left)).build().call().map_err(|error| failure(&error))?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let is_json = header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
        let total = header("x-total-count").and_then(|count| count.parse().ok());
        let status = response.status().as_u16();
        match status {
            200 | 404 | 501 => {
                let body = response.body_mut().with_config().limit(MAX_BODY).read_to_vec();
                let body = body.map_err(|error| failure(&error))?;
                Ok(Answer { status, is_json: is_json || status == 501, total, body })
            }
            _ => Err(refusal(status, &mut response)),
        }
    }
}

/// The error for a request without an answer.
fn failure(error: &ureq::Error) -> ApiError {
    match error {
        ureq::Error::Timeout(_) => ApiError::Timeout,
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => ApiError::Certificate(printable(&error.to_string())),
        // The handshake is part of the first read or write.
        ureq::Error::Io(io) if io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            ApiError::Certificate(printable(&io.to_string()))
        }
        ureq::Error::BodyExceedsLimit(_) => ApiError::Unusable("its body is too long"),
        ureq::Error::HostNotFound => ApiError::Unreachable("its name does not resolve".to_owned()),
        ureq::Error::Protocol(_) | ureq::Error::Http(_) => ApiError::Unusable("it is not HTTP"),
        other => ApiError::Unreachable(printable(&other.to_string())),
    }
}

/// The error for a status.
fn refusal(status: u16, response: &mut Response<Body>) -> ApiError {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let request = header("x-request-id").map(|id| format!(", request {}", printable(id))).unwrap_or_default();
    let wait = header("retry-after").and_then(retry_after);
    if status == 429 {
        return ApiError::TooMany(wait);
    }
    let body = response.body_mut().with_config().limit(MAX_BODY).read_to_vec().unwrap_or_default();
    let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
    match status {
        401 => ApiError::Denied(refusal.reason()),
        403 => ApiError::Forbidden(refusal.missing()),
        _ => ApiError::Status { status, request },
    }
}

/// The time in `Retry-After`: seconds, or a date.
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok()
}

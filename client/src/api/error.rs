//! Why the API gave no usable answer. A message never contains the secret key, and text from the API only as
//! visible characters.

use std::time::Duration;

/// No answer.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ApiError {
    /// No connection, or it broke.
    #[error("the API is unreachable: {0}")]
    Unreachable(String),
    /// TLS failed, which a second attempt does not change.
    #[error(
        "no trusted connection to the API: {0} (the system's authorities are trusted, or those in SSL_CERT_FILE)"
    )]
    Certificate(String),
    /// The time of the run is over.
    #[error("the API did not answer in time")]
    Timeout,
    /// 401.
    #[error("the API does not accept the secret key ({0})")]
    Denied(String),
    /// 403, with what is missing.
    #[error(
        "the API key lacks a permission ({0}); InstancesReadOnly is needed, IPAMReadOnly for private addresses"
    )]
    Forbidden(String),
    /// 429 that did not end.
    #[error("the API asks to wait (too many requests){}", wait_text(*.0))]
    TooMany(Option<Duration>),
    /// Another status.
    #[error("the API answered with status {status}{request}")]
    Status {
        /// The status.
        status: u16,
        /// `, request ID`, or nothing.
        request: String,
    },
    /// The answer has another form.
    #[error("the API gave an unusable answer: {0}")]
    Unusable(&'static str),
}

fn wait_text(wait: Option<Duration>) -> String {
    wait.map(|wait| format!("; try again in {} s", wait.as_secs().max(1))).unwrap_or_default()
}

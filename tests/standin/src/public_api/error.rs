//! The errors of the API and their documents.

use serde_json::{Value, json};

use crate::http::Answer;

/// The reason why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ApiError {
    /// No token, one that is not a UUID, one that is not known, or one that has expired.
    Unauthenticated(&'static str),
    /// The token does not permit this action on this kind of resource.
    NotPermitted { resource: &'static str, action: &'static str },
    /// An argument is missing, has a wrong form, or is not permitted here.
    Argument { name: String, reason: &'static str, help: String },
    /// There is no such resource.
    NotFound { resource: &'static str, id: String },
    /// There is no value of this user data key: a 404 without a document.
    NoUserData,
    /// The resource is in a state that does not permit this.
    Precondition(String),
    /// No path of the API.
    NoRoute,
    /// The path does not have this method.
    NoMethod(Vec<&'static str>),
}

impl ApiError {
    /// A required argument is missing.
    pub(super) fn required(name: &str) -> Self {
        Self::argument(name, "required", "")
    }

    /// An argument does not fit the others.
    pub(super) fn constraint(name: &str, help: impl Into<String>) -> Self {
        Self::argument(name, "constraint", help)
    }

    /// An argument with another problem.
    pub(super) fn argument(name: &str, reason: &'static str, help: impl Into<String>) -> Self {
        Self::Argument { name: name.to_owned(), reason, help: help.into() }
    }

    /// There is no such resource.
    pub(super) fn not_found(resource: &'static str, id: &str) -> Self {
        Self::NotFound { resource, id: id.to_owned() }
    }

    /// The answer.
    pub(super) fn answer(&self) -> Answer {
        let (status, document) = match self {
            Self::NoUserData => return Answer::text(404, ""),
            Self::NoMethod(methods) => {
                return Answer::text(405, "method not allowed\n").with("Allow", methods.join(", "));
            }
            Self::Unauthenticated(reason) => (
                401,
                json!({"type": "denied_authentication", "message": "authentication is denied", "method": "api_key", "reason": reason}),
            ),
            Self::NotPermitted { resource, action } => (
                403,
                json!({"type": "permissions_denied", "message": "insufficient permissions", "details": [{"resource": resource, "action": action}]}),
            ),
            Self::Argument { name, reason, help } => {
                let detail = json!({"argument_name": name, "reason": reason, "help_message": help});
                let message = "invalid argument(s)";
                (400, json!({"type": "invalid_arguments", "message": message, "details": [detail]}))
            }
            Self::NotFound { resource, id } => (404, not_found(resource, id)),
            Self::NoRoute => (404, not_found("path", "")),
            Self::Precondition(help) => (
                412,
                json!({"type": "precondition_failed", "message": "precondition is not respected", "precondition": "resource_not_usable", "help_message": help}),
            ),
        };
        Answer { status, ..Answer::json(&document) }
    }
}

fn not_found(resource: &str, id: &str) -> Value {
    json!({"type": "not_found", "message": "resource is not found", "resource": resource, "resource_id": id})
}

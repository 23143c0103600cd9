//! Why nothing can be said about a host (invariant C3). Each text is one sentence without its end.

use std::net::IpAddr;

use crate::api::answers::Instance;
use crate::api::error::ApiError;
use crate::credentials::load::CredentialsError;
use crate::instances::list::Known;
use crate::ssh::host_key::KeyError;
use crate::util::printable::printable;

/// Why.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unknown {
    /// There are no credentials.
    #[error("{0}")]
    Credentials(#[from] CredentialsError),
    /// The API gave no answer.
    #[error("{0}")]
    Api(#[from] ApiError),
    /// The offered key cannot be used.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// No Instance.
    #[error("no Instance that this API key can see has {0}")]
    NoInstance(String),
    /// The name does not resolve here.
    #[error(
        "the name does not resolve here, so the Instance is not known; set HostKeyAlias to the Instance's id"
    )]
    NotResolved,
    /// The Instance published nothing.
    #[error("{0} has published no fingerprints; is scw-agent or cloud-init in its image, and did it boot?")]
    NotPublished(String),
    /// Several Instances have the same private address.
    #[error(
        "several Instances have the address {address}: {candidates}; set HostKeyAlias to the Instance's id"
    )]
    Ambiguous {
        /// The address.
        address: IpAddr,
        /// The Instances.
        candidates: String,
    },
    /// The address belongs to another Instance than the name.
    #[error("the name is that of {named}, but the address belongs to {found}")]
    OtherName {
        /// The Instance with the name.
        named: String,
        /// The Instance with the address.
        found: String,
    },
    /// What ssh looks up is no name.
    #[error("the HostKeyAlias contains characters that no host name has")]
    NoName,
}

/// An Instance in a message: `web-1 (Instance ID, fr-par-1)`.
pub(crate) fn label(instance: &Instance) -> String {
    format!("{} (Instance {}, {})", printable(&instance.name), instance.id, instance.zone)
}

/// The same for an entry of the local list.
pub(crate) fn label_known(known: &Known) -> String {
    format!("{} (Instance {}, {})", printable(&known.name), known.id, known.zone)
}

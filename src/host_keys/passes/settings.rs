//! What a pass gets from the configuration and from the platform check.

use crate::host_keys::key::key_type::KeyType;

/// The settings of a pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PassSettings<'a> {
    /// The configured key types. They apply where sshd's own configuration does not say otherwise.
    pub key_types: &'a [KeyType],
    /// Whether a disk that now belongs to another Instance gets new keys. False with `regenerate = "never"`.
    pub regenerate: bool,
    /// Whether this is a Scaleway Instance. Elsewhere nothing proves that the disk belongs to another Instance (invariant P1).
    pub is_on_platform: bool,
}

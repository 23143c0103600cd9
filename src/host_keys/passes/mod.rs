//! The two passes of the host-keys units: `ensure` (before sshd starts, without a network) and `settle` (once the metadata service can be
//! asked which Instance this is, and whenever sshd's configuration changed).

pub(crate) mod pass;

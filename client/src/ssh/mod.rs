//! What OpenSSH says and asks.
//!
//! | module | content |
//! |---|---|
//! | `call` | a call as its `KnownHostsCommand`: the tokens (pure) |
//! | `host_key` | a host key or host certificate, and its fingerprint (pure) |
//! | `pattern` | a host pattern (pure) |
//! | `programs` | the programs `ssh` and `ssh-keyscan`: version, effective configuration, offered keys |

pub mod call;
pub mod host_key;
pub(crate) mod pattern;
pub(crate) mod programs;

//! Keys as OpenSSH writes them. Pure.
//!
//! | module | what it does |
//! |---|---|
//! | `key_type` | the types that the configuration can ask for |
//! | `public_key` | a public key line, its fingerprint |
//! | `private_key` | reads a private key far enough to know its public half, and repairs its layout |

pub(crate) mod key_type;
pub(crate) mod private_key;
pub(crate) mod public_key;
#[cfg(test)]
pub(crate) mod test_keys;

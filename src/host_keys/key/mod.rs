//! Keys as OpenSSH writes them. Pure.
//!
//! | module | what it does |
//! |---|---|
//! | `key_type` | the key types that the configuration can name |
//! | `public_key` | a line with a public key, and its fingerprint |
//! | `private_key` | reads the public half of a private key, and repairs the form of its text |

pub(crate) mod key_type;
pub(crate) mod private_key;
pub(crate) mod public_key;
#[cfg(test)]
pub(crate) mod test_keys;

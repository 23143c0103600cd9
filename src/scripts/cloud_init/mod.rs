//! The value of the key `cloud-init`, where cloud-init is not active. Pure.
//!
//! | module | what it does |
//! |---|---|
//! | `unpack` | from the value to its scripts, and to what is passed over |
//! | `multipart` | MIME messages |
//! | `gzip` | gzip, up to a bound |

pub(crate) mod gzip;
pub(crate) mod multipart;
pub(crate) mod unpack;

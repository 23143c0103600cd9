//! Reads the value of the key `cloud-init` on an Instance where cloud-init is not active. Pure.
//!
//! | module | what it does |
//! |---|---|
//! | `unpack` | the scripts in the value, and the parts that the agent does not run |
//! | `multipart` | splits a MIME message into its parts |
//! | `gzip` | unpacks gzip, up to a limit |

pub(crate) mod gzip;
pub(crate) mod multipart;
pub(crate) mod unpack;

//! Scaleway's public API, as far as this program asks it.
//!
//! | module | content |
//! |---|---|
//! | `ids` | Instance ids and zones that are safe in a path (pure) |
//! | `client` | one request with its retries, within the deadline |
//! | `error` | why there is no answer |
//! | `answers` | the JSON documents (pure) |
//! | `calls` | the calls: Instances, addresses, user data, private addresses |

pub mod answers;
pub(crate) mod calls;
pub(crate) mod client;
pub(crate) mod error;
pub mod ids;

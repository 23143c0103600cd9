//! The local list of the user's Instances. It says which hosts are candidates, without the network, and where to ask
//! first. It proves nothing: each entry is confirmed by the API in the same run, and it has no fingerprints.
//!
//! | module | content |
//! |---|---|
//! | `list` | the list and its file format (pure) |
//! | `store` | the file in the cache folder |

pub mod list;
pub(crate) mod store;

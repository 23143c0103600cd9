//! The credentials and defaults of a run, read as Scaleway's SDK for Go reads them.
//!
//! | module | content |
//! |---|---|
//! | `paths` | the configuration file and the cache folder |
//! | `config_file` | the configuration file and its profiles (pure) |
//! | `load` | environment over profile over top level |

pub mod config_file;
pub(crate) mod load;
pub(crate) mod paths;

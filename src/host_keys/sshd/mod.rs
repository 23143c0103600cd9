//! What sshd says of its host keys, and sshd itself.
//!
//! | module | what it does |
//! |---|---|
//! | `query` | asks sshd for its effective configuration (`sshd -T`) |
//! | `options` | the options with which its unit starts it |
//! | `config`, `glob`, `wildcard` | reads sshd_config and its `Include` files, where sshd gives no answer |
//! | `cache` | keeps OpenSSH's answers until what they depend on changes |
//! | `effective` | the host keys that the configuration names (pure) |
//! | `agent` | the keys of sshd's `HostKeyAgent` |
//! | `process` | the running sshd, and SIGHUP for it |
//! | `server` | whether an OpenSSH server is enabled at all |

pub(crate) mod agent;
pub(crate) mod cache;
pub(crate) mod config;
pub(crate) mod effective;
pub(crate) mod glob;
pub(crate) mod options;
pub(crate) mod process;
pub(crate) mod query;
pub(crate) mod server;
pub(crate) mod wildcard;

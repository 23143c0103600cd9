//! sshd: its configuration of host keys, its agent, and its process.
//!
//! | module | what it does |
//! |---|---|
//! | `query` | asks sshd for its effective configuration (`sshd -G`, `sshd -T`) |
//! | `options` | the options with which its unit starts sshd |
//! | `config`, `glob`, `wildcard` | reads sshd_config and its `Include` files if sshd gives no answer |
//! | `cache` | caches OpenSSH's answers until anything that they depend on changes |
//! | `effective` | the effective host keys (pure) |
//! | `host_key_agent` | the keys of sshd's `HostKeyAgent` |
//! | `process` | finds the running sshd, and sends SIGHUP to it |
//! | `server` | whether an OpenSSH server is enabled at all |

pub(crate) mod cache;
pub(crate) mod config;
pub(crate) mod effective;
pub(crate) mod glob;
pub(crate) mod host_key_agent;
pub(crate) mod options;
pub(crate) mod process;
pub(crate) mod query;
pub(crate) mod server;
pub(crate) mod wildcard;

//! sshd's host keys, from the files that sshd's configuration names to the published value.
//!
//! Each path that sshd's configuration names holds one host key, whose type is that of its content. OpenSSH decides which keys are usable and which
//! types can be made (invariants H1, H3).
//!
//! | folder or module | what it does |
//! |---|---|
//! | `passes` | the ensure pass and the settle pass of the units; they call everything below |
//! | `sshd` | asks sshd for its effective host keys and caches the answer; makes a running sshd reload its keys |
//! | `key` | public and private keys, and their types (pure) |
//! | `store` | inspects each key file, plans what to do, and does it; writes which keys sshd serves |
//! | `published_value` | the published value: the content of the user data key `ssh-host-fingerprints` (pure) |
//! | `paths` | the files and folders of the passes, and the names of their requests |
//!
//! Nothing here uses a network. No key is removed or overwritten without a proof that it is of no use.

pub(crate) mod key;
pub(crate) mod passes;
pub(crate) mod paths;
pub(crate) mod published_value;
pub(crate) mod sshd;
pub(crate) mod store;

pub use key::private_key::{PrivateKey, reformat};
pub use key::public_key::PublicKey;
pub use published_value::published_value;
pub use sshd::config::SshdConfig;
pub use sshd::effective::{ConfigSource, EffectiveHostKeys};
pub use store::key_content::{KeyContent, private_key_content};
pub use store::served::LocalKeys;

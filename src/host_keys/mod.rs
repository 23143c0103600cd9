//! sshd's host keys: from the files that sshd's configuration names to the published value.
//!
//! A host key is a path that sshd names; its type is what its content says. OpenSSH decides what a usable key is and which types can be
//! made (invariants H1, H3). The way of a key:
//!
//! | folder or module | what it does |
//! |---|---|
//! | `passes` | the two passes of the units, `ensure` and `settle`: everything below, in their order |
//! | `sshd` | asks sshd which host keys it is configured with; keeps its answers |
//! | `key` | public and private keys, and their types (pure) |
//! | `store` | looks at each key file, plans what to do, does it; writes which keys sshd serves |
//! | `published_value` | the value of the user data key `ssh-host-fingerprints` (pure) |
//! | `paths` | the files and folders of the passes |
//!
//! No network here, and no key is removed or overwritten without a proof that it is of no use.

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
pub use store::served::ServedKeys;

//! sshd's host keys: what is there ([`inspect`](mod@inspect)), what to do about it ([`plan`](mod@plan), pure), doing it ([`ensure`](mod@ensure)),
//! and the fingerprints that tell them to the world ([`fingerprints`](mod@fingerprints)).
//!
//! [`role`] is the whole of the unit's work, the question of whose Instance this is included.
//!
//! No network in this room, and no key is ever removed or overwritten without a proof that it is of no use (law H1).

mod ensure;
mod fingerprints;
mod inspect;
mod key_type;
mod plan;
mod private_key;
mod public_key;
pub mod role;

pub use ensure::{EnsureError, Ensured, Renew, ensure};
pub use fingerprints::{Published, published_value};
pub use inspect::{Access, KeyFiles, Private, Public, PublicKeys, inspect, public_keys};
pub use key_type::KeyType;
pub use plan::{Mending, Plan, Reason, plan};
pub use private_key::PrivateKey;
pub use public_key::{PublicKey, PublicKeyError};

/// Where sshd keeps its keys, on every distribution.
pub const FOLDER: &str = "/etc/ssh";

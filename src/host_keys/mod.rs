//! sshd's host keys: what is there ([`inspect`](mod@inspect)), what to do about it ([`plan`](mod@plan), pure), doing it ([`ensure`](mod@ensure)),
//! and the fingerprints that tell them to the world ([`fingerprints`](mod@fingerprints)).
//!
//! Which of them sshd serves is read from its configuration ([`sshd_config`](mod@sshd_config)) or asked of sshd itself ([`survey`](mod@survey)), and
//! judged by [`served`](mod@served), pure; its word is kept over boots ([`word`](mod@word)). A running sshd is told of new keys by
//! [`sshd_process`](mod@sshd_process); the public keys of earlier Instances are kept by [`old_keys`](mod@old_keys). [`role`] is the whole of the units' work, the question of whose Instance this is included.
//!
//! No network in this room, and no key is ever removed or overwritten without a proof that it is of no use (law H1).

mod ensure;
mod fingerprints;
mod inspect;
mod key_type;
mod old_keys;
mod places;
mod plan;
mod private_key;
mod public_key;
pub mod role;
mod served;
mod sshd_config;
mod sshd_process;
mod survey;
mod wildcard;
mod word;

pub use ensure::{EnsureError, Ensured, Renew, ensure};
pub use fingerprints::{Published, published_value};
pub use inspect::{Access, KeyFiles, LocalKey, Private, Public, PublicKeys, inspect, public_keys};
pub use key_type::KeyType;
pub use places::{INSTANCE_SEEN, Places, SURVEY_REQUESTED};
pub use plan::{Mending, Plan, Reason, plan};
pub use private_key::PrivateKey;
pub use public_key::{PublicKey, PublicKeyError};
pub use served::{Served, Source};
pub use sshd_config::SshdConfig;
pub use survey::{SurveyError, known as known_served};

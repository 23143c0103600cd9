//! sshd's host keys: which files sshd names ([`sshd_query`](mod@sshd_query)), what is in them ([`key_file`](mod@key_file),
//! [`key_check`](mod@key_check)), what to do about it ([`plan`](mod@plan), pure), doing it ([`ensure`](mod@ensure)), what sshd
//! therefore serves ([`served`](mod@served)), and the fingerprints that are published ([`fingerprints`](mod@fingerprints), pure).
//!
//! A host key is a path that sshd names; its type is what its content says. OpenSSH decides what a usable key is and which types can
//! be made (invariants H1, H3). Whether an OpenSSH server is enabled at all is read from systemd's files
//! ([`ssh_server`](mod@ssh_server)). [`role`] is the whole of the units' work, the question of whose Instance this is included.
//!
//! No network in this module, and no key is ever removed or overwritten without a proof that it is of no use.

mod answers;
mod clear;
mod effective;
mod ensure;
mod fingerprints;
mod glob;
mod key_agent;
mod key_check;
mod key_file;
mod key_group;
mod key_type;
mod make_keys;
mod mounts;
mod old_keys;
mod places;
mod plan;
mod private_key;
mod problems;
mod public_key;
mod renewed_keys;
pub mod role;
mod served;
mod ssh_server;
mod sshd_config;
mod sshd_options;
mod sshd_process;
mod sshd_query;
#[cfg(test)]
mod test_keys;
mod wildcard;

pub use clear::{Clearing, clearing};
pub use effective::{EffectiveHostKeys, Source};
pub use ensure::{EnsureError, Ensured, Renew};
pub use fingerprints::{Published, published_value};
pub use key_check::{KeyContent, private_key_content};
pub use key_file::{Access, KeyFile, Private, PublicFile, public_path};
pub use key_type::KeyType;
pub use mounts::Obstacle;
pub use places::{INSTANCE_SEEN, Places, SURVEY_REQUESTED};
pub use plan::{Mending, NewKey, Plan, Reason, Rules};
pub use private_key::{PrivateKey, reformat};
pub use problems::drop_in;
pub use public_key::{PublicKey, PublicKeyError};
pub use served::{KeyProblem, LocalKey, ServedKeys};
pub use ssh_server::{SshServer, active_links, enablement_folders};
pub use sshd_config::SshdConfig;
pub use sshd_query::QueryError;

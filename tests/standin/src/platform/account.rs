//! The data of one account: what exists in it, and who may use the API.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

/// The user data of one Instance: keys and values, both as bytes.
pub(crate) type UserData = BTreeMap<Vec<u8>, Vec<u8>>;

/// The secret key of the account's owner.
pub const OWNER_TOKEN: &str = "11111111-1111-4111-8111-111111111111";
/// The account's only project, and its organization.
pub(crate) const PROJECT: &str = "5a1e0c7d-0000-4000-8000-000000000000";

/// What a secret key permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Everything.
    All,
    /// Reading.
    Read,
    /// Nothing: its policy has no permission.
    None,
    /// It was valid once.
    Expired,
}

/// An Instance. While the Metadata API shows it, its user data is in [`super::Platform`].
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) document: Value,
    pub(crate) user_data: UserData,
}

/// The account. The documents are as the API returns them.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) tokens: BTreeMap<String, Rights>,
    pub(crate) servers: Vec<Server>,
    pub(crate) ips: Vec<Value>,
    pub(crate) block_volumes: Vec<Value>,
    /// The local volumes of Instances that were deleted.
    pub(crate) local_volumes: Vec<Value>,
    pub(crate) placement_groups: Vec<Value>,
    /// The number of identifiers that were made.
    identifiers: u64,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            tokens: BTreeMap::from([(OWNER_TOKEN.to_owned(), Rights::All)]),
            servers: Vec::new(),
            ips: Vec::new(),
            block_volumes: Vec::new(),
            local_volumes: Vec::new(),
            placement_groups: Vec::new(),
            identifiers: 0,
        }
    }
}

impl Account {
    pub(crate) fn server(&self, id: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.document["id"] == id)
    }

    pub(crate) fn server_mut(&mut self, id: &str) -> Option<&mut Server> {
        self.servers.iter_mut().find(|server| server.document["id"] == id)
    }

    /// A new MAC address, whose first byte is this.
    pub(crate) fn mac_address(&mut self, first: &str) -> String {
        self.identifiers += 1;
        let [.., third, second, last] = self.identifiers.to_be_bytes();
        format!("{first}:00:00:{third:02x}:{second:02x}:{last:02x}")
    }

    /// A new identifier. It is the same in each run.
    pub(crate) fn identifier(&mut self, kind: &str) -> String {
        self.identifiers += 1;
        uuid(&(kind, self.identifiers))
    }
}

/// An identifier that depends on nothing but this.
pub(crate) fn uuid(of: &impl Hash) -> String {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, of).hash(&mut hasher);
        hasher.finish()
    };
    let (high, low) = (half(0), half(1));
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

//! Everything that a boot's work needs of user data, fetched before anything runs: a script may take the network down, and half a boot's work
//! is none.

use std::path::Path;

use hyper::body::Bytes;

use super::cloud_init;
use super::script::ScriptKind;
use super::summary::PassedOver;
use super::unpack::{Content, Item, unpack};
use crate::metadata::{Ask, ErrorKind, Instance, MetadataError, UserDataKey};

/// A script as user data has it.
pub(super) struct Found {
    /// Its user data key; for a part of what `cloud-init` holds, a name that no key of a script can have.
    pub(super) key: UserDataKey,
    pub(super) kind: ScriptKind,
    /// Whether its key holds other things beside it.
    pub(super) is_part: bool,
    /// Its bytes, or for a person why there are none.
    pub(super) body: Result<Bytes, String>,
}

/// What user data holds for a boot, in the order in which it is run.
pub(super) struct Gathered {
    pub(super) instance: Instance,
    pub(super) found: Vec<Found>,
    pub(super) passed_over: Vec<PassedOver>,
}

/// Whether a key may hold work for a boot. What cloud-init takes for itself does not.
pub fn is_of_a_boot(key: &UserDataKey) -> bool {
    match ScriptKind::of(key) {
        Some(kind) => kind != ScriptKind::Shutdown,
        None => *key == UserDataKey::cloud_init() && !cloud_init::is_active(Path::new("/")),
    }
}

/// Fetches all that these keys hold.
///
/// # Errors
/// When the service fails in a way that may pass. An answer that will not change is that script's own trouble.
pub(super) async fn gather(
    api: &mut impl Ask,
    is_wanted: impl Fn(&UserDataKey) -> bool,
) -> Result<Gathered, MetadataError> {
    let mut all = Gathered { instance: api.instance().await?, found: Vec::new(), passed_over: Vec::new() };
    for key in api.list().await?.into_iter().filter(is_wanted) {
        let body = match api.get(&key).await {
            Ok(Some(body)) => Ok(body),
            // Deleted since it was listed.
            Ok(None) => continue,
            Err(why) if why.kind() == ErrorKind::BadAnswer => Err(why.to_string()),
            Err(why) => return Err(why),
        };
        match (ScriptKind::of(&key), body) {
            (None, Ok(value)) => unpack(&value).into_iter().for_each(|item| all.take(&key, item)),
            (kind, body) => {
                let kind = kind.unwrap_or(ScriptKind::Setup);
                all.found.push(Found { key, kind, is_part: false, body });
            }
        }
    }
    Ok(all)
}

impl Found {
    /// Whether it is meant by this name, its own or the key's that it came in.
    pub(super) fn is_called(&self, name: &UserDataKey) -> bool {
        self.key == *name || self.is_part && *name == UserDataKey::cloud_init()
    }
}

impl Gathered {
    /// Takes one of the things that a value of `cloud-init` holds.
    fn take(&mut self, whole: &UserDataKey, item: Item) {
        let is_part = item.name.is_some();
        let name = item.name.and_then(|name| UserDataKey::new(&format!("{}.{name}", whole.as_str())).ok());
        let key = name.unwrap_or_else(|| whole.clone());
        let (kind, body) = match item.content {
            Content::Script(kind, body) => (kind, Ok(body)),
            Content::Broken(why) => (ScriptKind::Setup, Err(why.to_string())),
            Content::Foreign(what) => {
                tracing::warn!(SCW_SCRIPT = %key, "{key}: {what}: not run, since it needs cloud-init, which is not active here");
                let key = key.as_str().to_owned();
                return self.passed_over.push(PassedOver { key, what: what.to_owned() });
            }
        };
        self.found.push(Found { key, kind, is_part, body });
    }
}

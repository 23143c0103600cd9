//! Fetches all user data that a boot needs before the first script runs. A script may take the network down, and a boot must not run only
//! some of its scripts.

use std::path::Path;

use hyper::body::Bytes;

use crate::metadata::api::instance::Instance;
use crate::metadata::api::response::Ask;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::metadata::error::{ErrorKind, MetadataError};
use crate::scripts::cloud_init::unpack::{ItemContent, UnpackedItem, unpack};
use crate::scripts::history::summary::SkippedItem;
use crate::scripts::history::value_rules::{FIRST_RULES_VERSION, RulesVersions};
use crate::scripts::model::script::{Digest, ScriptKind};
use crate::system::cloud_init;

/// The limit for all values of a boot together, in bytes. A value beyond it is not run. One value has at most 1 MiB, so this is far more than
/// scripts need, and it fits into the machine's memory.
const MAX_TOTAL_BYTES: usize = 32 * 1024 * 1024;

/// A script from user data.
pub(crate) struct FetchedScript {
    /// The user data key. A part of the value of `cloud-init` has a name here that no key of a script can have.
    pub(crate) key: UserDataKey,
    pub(crate) kind: ScriptKind,
    /// Whether this is a part of the key's value, not the complete value.
    pub(crate) is_part: bool,
    /// The first rules version that runs this script. Earlier ones skipped it (see [`crate::scripts::history::value_rules`]).
    pub(crate) first_rules_version: u32,
    /// The digest of the key's value when it was fetched.
    pub(crate) value: Option<Digest>,
    /// The script, or a text for a person that says why there is none.
    pub(crate) body: Result<Bytes, String>,
}

/// What user data have for a boot. The scripts are in the order in which they run.
pub(crate) struct FetchedScripts {
    pub(crate) instance: Instance,
    pub(crate) scripts: Vec<FetchedScript>,
    pub(crate) skipped: Vec<SkippedItem>,
    /// All keys of the Instance.
    pub(crate) keys: Vec<UserDataKey>,
    /// The number of further keys, whose names cannot be used.
    pub(crate) unusable: usize,
    /// The digest of the value of the key `cloud-init`, if that was fetched.
    cloud_init: Option<Digest>,
}

/// Whether a key may contain scripts of a boot. The key `cloud-init` is ignored where cloud-init itself is active.
pub(crate) fn runs_at_boot(key: &UserDataKey) -> bool {
    match ScriptKind::of(key) {
        Some(kind) => kind != ScriptKind::Shutdown,
        None => *key == UserDataKey::cloud_init() && !cloud_init::is_active(Path::new("/")),
    }
}

/// Fetches the scripts of all keys for which `is_wanted` is true.
///
/// # Errors
/// When the service fails in a way that may be temporary. A bad answer for one key is an error of that script only.
pub(crate) async fn fetch_scripts(
    api: &mut impl Ask,
    is_wanted: impl Fn(&UserDataKey) -> bool,
) -> Result<FetchedScripts, MetadataError> {
    let instance = api.instance().await?;
    let (keys, unusable) = api.list_with_unusable().await?;
    let mut fetched = FetchedScripts {
        instance,
        scripts: Vec::new(),
        skipped: Vec::new(),
        keys,
        unusable,
        cloud_init: None,
    };
    let mut remaining_bytes = MAX_TOTAL_BYTES;
    for key in fetched.keys.clone() {
        if !is_wanted(&key) {
            continue;
        }
        // There is no value if the key was deleted after it was listed.
        let Some(body) = fetch_value(api, &key, &mut remaining_bytes).await? else { continue };
        match (ScriptKind::of(&key), body) {
            (None, Ok(value)) => {
                fetched.cloud_init = Some(Digest::of(&value));
                unpack(&value).into_iter().for_each(|item| fetched.add_item(&key, item));
            }
            (kind, body) => {
                let kind = kind.unwrap_or(ScriptKind::Setup);
                let value = body.as_ref().ok().map(|body| Digest::of(body));
                fetched.scripts.push(FetchedScript {
                    key,
                    kind,
                    is_part: false,
                    first_rules_version: FIRST_RULES_VERSION,
                    value,
                    body,
                });
            }
        }
    }
    Ok(fetched)
}

/// Fetches one value: its bytes, or a text for a person that says why there are none. `None` if the key does not exist.
///
/// When a value exceeds the limit, neither it nor any value after it is used.
async fn fetch_value(
    api: &mut impl Ask,
    key: &UserDataKey,
    remaining_bytes: &mut usize,
) -> Result<Option<Result<Bytes, String>>, MetadataError> {
    if *remaining_bytes == 0 {
        return Ok(Some(Err(too_much())));
    }
    let body = match api.get(key).await {
        Ok(None) => return Ok(None),
        Ok(Some(body)) => body,
        Err(why) if why.kind() == ErrorKind::BadAnswer => return Ok(Some(Err(why.to_string()))),
        Err(why) => return Err(why),
    };
    match remaining_bytes.checked_sub(body.len()) {
        Some(remaining) => {
            *remaining_bytes = remaining;
            Ok(Some(Ok(body)))
        }
        None => {
            *remaining_bytes = 0;
            Ok(Some(Err(too_much())))
        }
    }
}

fn too_much() -> String {
    let mebibytes = MAX_TOTAL_BYTES >> 20;
    format!("this script and those before it have more than {mebibytes} MiB together: make them smaller")
}

impl FetchedScript {
    /// Whether a person means this script by `name`: its own name, or the key of which it is a part.
    pub(crate) fn has_name(&self, name: &UserDataKey) -> bool {
        self.key == *name || self.is_part && *name == UserDataKey::cloud_init()
    }
}

impl FetchedScripts {
    /// Adds one item of the value of `cloud-init`. `value_key` is the key of that value.
    fn add_item(&mut self, value_key: &UserDataKey, item: UnpackedItem) {
        let is_part = item.name.is_some();
        let name =
            item.name.and_then(|name| UserDataKey::new(&format!("{}.{name}", value_key.as_str())).ok());
        let key = name.unwrap_or_else(|| value_key.clone());
        let (kind, body) = match item.content {
            ItemContent::Script(kind, body) => (kind, Ok(body)),
            ItemContent::Unusable(why) => (ScriptKind::Setup, Err(why.to_string())),
            ItemContent::NeedsCloudInit(what) => {
                tracing::warn!(SCW_SCRIPT = %key, "{key}: {what}: not run: it needs cloud-init, which is not active here");
                let (key, what) = (key.as_str().to_owned(), what.to_owned());
                return self.skipped.push(SkippedItem { key, what, by_earlier_version: false });
            }
        };
        let value = self.cloud_init.clone();
        self.scripts.push(FetchedScript {
            key,
            kind,
            is_part,
            first_rules_version: item.first_rules_version,
            value,
            body,
        });
    }

    /// Removes the scripts that an earlier version of the agent skipped for this Instance, and stores by which rules this value was read.
    pub(crate) fn skip_earlier(&mut self, rules_versions: &mut RulesVersions) {
        let Some(digest) = &self.cloud_init else { return };
        let rules_version = rules_versions.rules_version_of(&UserDataKey::cloud_init(), digest);
        rules_versions.save();
        let scripts = std::mem::take(&mut self.scripts).into_iter();
        let (skipped, run): (Vec<_>, _) =
            scripts.partition(|script| script.first_rules_version > rules_version && script.body.is_ok());
        self.scripts = run;
        for script in skipped {
            let what = "script".to_owned();
            let skipped = SkippedItem { key: script.key.as_str().to_owned(), what, by_earlier_version: true };
            tracing::warn!(SCW_SCRIPT = %script.key, "{}: not run: {}", script.key, skipped.why());
            self.skipped.push(skipped);
        }
    }
}

//! Everything that a boot's work needs of user data, fetched before anything runs: a script may take the network down, and half a boot's work
//! is none.

use std::path::Path;

use hyper::body::Bytes;

use crate::metadata::api::instance::Instance;
use crate::metadata::api::response::Ask;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::metadata::error::{ErrorKind, MetadataError};
use crate::scripts::cloud_init::unpack::{Content, Item, unpack};
use crate::scripts::history::summary::PassedOver;
use crate::scripts::history::value_readings::{FIRST_READING, ValueReadings};
use crate::scripts::model::script::{Digest, ScriptKind};
use crate::system::cloud_init;

/// All values of a boot together, in bytes. One value has at most 1 MiB, so this is much more than scripts need, and the machine's memory holds
/// it.
const LARGEST_SUM: usize = 32 * 1024 * 1024;

/// A script as user data has it.
pub(crate) struct FetchedScript {
    /// Its user data key; for a part of what `cloud-init` holds, a name that no key of a script can have.
    pub(crate) key: UserDataKey,
    pub(crate) kind: ScriptKind,
    /// Whether its key holds other things beside it.
    pub(crate) is_part: bool,
    /// Since which reading of values it is run; earlier ones passed it over (see [`crate::scripts::history::value_readings`]).
    pub(crate) since: u32,
    /// What its key held when it was fetched.
    pub(crate) value: Option<Digest>,
    /// Its bytes, or for a person why there are none.
    pub(crate) body: Result<Bytes, String>,
}

/// What user data holds for a boot, in the order in which it is run.
pub(crate) struct FetchedScripts {
    pub(crate) instance: Instance,
    pub(crate) found: Vec<FetchedScript>,
    pub(crate) passed_over: Vec<PassedOver>,
    /// All keys that were listed.
    pub(crate) keys: Vec<UserDataKey>,
    /// How many more keys there are, with names that cannot be used.
    pub(crate) unusable: usize,
    /// The value of the key `cloud-init`, if that was fetched.
    cloud_init: Option<Digest>,
}

/// Whether a key may hold work for a boot. What cloud-init takes for itself does not.
pub(crate) fn is_of_a_boot(key: &UserDataKey) -> bool {
    match ScriptKind::of(key) {
        Some(kind) => kind != ScriptKind::Shutdown,
        None => *key == UserDataKey::cloud_init() && !cloud_init::is_active(Path::new("/")),
    }
}

/// Fetches all that these keys hold.
///
/// # Errors
/// When the service fails in a way that may pass. An answer that will not change is that script's own trouble.
pub(crate) async fn gather(
    api: &mut impl Ask,
    is_wanted: impl Fn(&UserDataKey) -> bool,
) -> Result<FetchedScripts, MetadataError> {
    let instance = api.instance().await?;
    let (keys, unusable) = api.list_and_rest().await?;
    let mut all = FetchedScripts {
        instance,
        found: Vec::new(),
        passed_over: Vec::new(),
        keys,
        unusable,
        cloud_init: None,
    };
    let mut room = LARGEST_SUM;
    for key in all.keys.clone() {
        if !is_wanted(&key) {
            continue;
        }
        // Deleted since it was listed, perhaps.
        let Some(body) = fetch(api, &key, &mut room).await? else { continue };
        match (ScriptKind::of(&key), body) {
            (None, Ok(value)) => {
                all.cloud_init = Some(Digest::of(&value));
                unpack(&value).into_iter().for_each(|item| all.take(&key, item));
            }
            (kind, body) => {
                let kind = kind.unwrap_or(ScriptKind::Setup);
                let value = body.as_ref().ok().map(|body| Digest::of(body));
                all.found.push(FetchedScript {
                    key,
                    kind,
                    is_part: false,
                    since: FIRST_READING,
                    value,
                    body,
                });
            }
        }
    }
    Ok(all)
}

/// Fetches one value, if there is room for it: its bytes, or for a person why there are none. Beyond the bound, nothing more is fetched.
async fn fetch(
    api: &mut impl Ask,
    key: &UserDataKey,
    room: &mut usize,
) -> Result<Option<Result<Bytes, String>>, MetadataError> {
    if *room == 0 {
        return Ok(Some(Err(too_much())));
    }
    let body = match api.get(key).await {
        Ok(None) => return Ok(None),
        Ok(Some(body)) => body,
        Err(why) if why.kind() == ErrorKind::BadAnswer => return Ok(Some(Err(why.to_string()))),
        Err(why) => return Err(why),
    };
    match room.checked_sub(body.len()) {
        Some(left) => {
            *room = left;
            Ok(Some(Ok(body)))
        }
        None => {
            *room = 0;
            Ok(Some(Err(too_much())))
        }
    }
}

fn too_much() -> String {
    let mebibytes = LARGEST_SUM >> 20;
    format!("this script and those before it have more than {mebibytes} MiB together: make them smaller")
}

impl FetchedScript {
    /// Whether it is meant by this name, its own or the key's that it came in.
    pub(crate) fn is_called(&self, name: &UserDataKey) -> bool {
        self.key == *name || self.is_part && *name == UserDataKey::cloud_init()
    }
}

impl FetchedScripts {
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
                let (key, what) = (key.as_str().to_owned(), what.to_owned());
                return self.passed_over.push(PassedOver { key, what, by_earlier_version: false });
            }
        };
        let value = self.cloud_init.clone();
        self.found.push(FetchedScript { key, kind, is_part, since: item.since, value, body });
    }

    /// Passes over what an earlier version passed over for this Instance and would run now, and remembers how the values were read.
    pub(crate) fn keep_passed_over(&mut self, values: &mut ValueReadings) {
        let Some(digest) = &self.cloud_init else { return };
        let reading = values.reading_of(&UserDataKey::cloud_init(), digest);
        values.save();
        let found = std::mem::take(&mut self.found).into_iter();
        let (stay, run): (Vec<_>, _) = found.partition(|found| found.since > reading && found.body.is_ok());
        self.found = run;
        for found in stay {
            let what = "script".to_owned();
            let passed_over =
                PassedOver { key: found.key.as_str().to_owned(), what, by_earlier_version: true };
            tracing::warn!(SCW_SCRIPT = %found.key, "{}: not run: {}", found.key, passed_over.why());
            self.passed_over.push(passed_over);
        }
    }
}

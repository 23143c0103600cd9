//! What the administrator asked for: the files there are ([`Sources`]), each laid over those before it (`file`, [`load()`]),
//! become [`Settings`], every value checked.
//!
//! A key that is not known is an error with its place: a typing error must not pass for a setting. A broken file never leaves the machine
//! without host keys: it does not count, the others and the defaults do, and everybody who reads the configuration says so.

pub(crate) mod error;
pub(crate) mod file;
pub(crate) mod keys;
pub(crate) mod load;
pub(crate) mod sources;
pub(crate) mod value;

use std::time::Duration;

pub use error::{FileFault, SettingsError};
pub use keys::{KEYS, Key};
pub use load::{Loaded, defaults, load};
pub use sources::{FILE, FOLDERS, Sources};

use crate::host_keys::key::key_type::KeyType;
use crate::metadata::transport::exchange::Limits;
use crate::scripts::model::policy::Policy;
use crate::system::console::Console;
use crate::system::platform::Vendor;

/// The whole configuration. [`Settings::default`] suits a stock image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `[platform] vendor`: which machines count as a Scaleway Instance.
    pub vendor: Vendor,
    /// `[host-keys] types`: which keys a machine must have.
    pub key_types: Vec<KeyType>,
    /// `[host-keys] regenerate`: whether a disk that was cloned to another Instance gets new keys.
    pub regenerate: bool,
    /// `[local-api] read-group`: whose members may ask the daemon, besides root.
    pub readers: Option<String>,
    /// `[local-api] write-group`: whose members may also set and delete user data.
    pub writers: Option<String>,
    /// `[metadata]`: bounds in time of a request.
    pub limits: Limits,
    /// `[metadata] look-again`: how long until what is published is looked at again (law H4), give or take a fifth.
    pub look_again: Duration,
    /// `[setup]`: what holds for scripts that do not say otherwise.
    pub setup: Policy,
    /// `[console] enabled`: whether scripts and host keys are told on the machine's console.
    pub console: Console,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            vendor: Vendor::default(),
            key_types: KeyType::ALL.to_vec(),
            regenerate: true,
            readers: None,
            writers: None,
            limits: Limits::default(),
            look_again: Duration::from_secs(15 * 60),
            setup: Policy::default(),
            console: Console { enabled: true },
        }
    }
}

/// The settings of this machine, for a service that must do its work whatever the files say: what is wrong in them is logged.
pub fn load_and_tell() -> Settings {
    let Loaded { settings, problems, .. } = load(&Sources::default());
    for problem in problems {
        tracing::error!("{problem}; this file does not count");
    }
    settings
}

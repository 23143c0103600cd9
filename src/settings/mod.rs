//! The configuration. [`Sources`] lists the files. [`load()`] reads and validates them, and merges them into [`Settings`]: a later
//! file overrides an earlier one.
//!
//! An unknown key is an error with its line and column, because a typing error must not be ignored. A file with an error is ignored
//! completely, so that it never leaves the machine without host keys. The other files and the defaults are used, and every program
//! that reads the configuration reports the error.

pub(crate) mod error;
pub(crate) mod file;
pub(crate) mod keys;
pub(crate) mod load;
pub(crate) mod sources;
pub(crate) mod value;

use std::time::Duration;

pub use error::{FileFault, SettingsError};
pub use keys::{KEYS, Key};
pub use load::{LoadedSettings, defaults, load};
pub use sources::{FILE, FOLDERS, Sources};

use crate::account_keys::manage::{Manage, WriteTo};
use crate::host_keys::key::key_type::KeyType;
use crate::metadata::api::state_detail::StateDetail;
use crate::metadata::transport::exchange::Limits;
use crate::scripts::model::settings::SetupSettings;
use crate::system::console::Console;
use crate::system::platform::Vendor;

/// The complete configuration. [`Settings::default`] suits a standard image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `[platform] vendor`: which machines are accepted as a Scaleway Instance.
    pub vendor: Vendor,
    /// `[host-keys] types`: the key types that a machine must have.
    pub key_types: Vec<KeyType>,
    /// `[host-keys] regenerate`: whether a clone on another Instance gets new host keys.
    pub regenerate: bool,
    /// `[local-api] read-group`: besides root, the members of this group may use the daemon's socket.
    pub read_group: Option<String>,
    /// `[local-api] write-group`: the members of this group may also set and delete user data.
    pub write_group: Option<String>,
    /// `[metadata]`: the time limits of a request.
    pub limits: Limits,
    /// `[metadata] look-again`: the longest time until the published value is checked again (invariant H4).
    pub check_interval: Duration,
    /// `[setup]`: the settings for scripts without a header setting of their own.
    pub setup: SetupSettings,
    /// `[console] enabled`: whether scripts and host keys are reported on the machine's console.
    pub console: Console,
    /// `[hostname] manage`: whether the hostname of the metadata is set at each boot.
    pub hostname_managed: bool,
    /// `[ssh-keys] manage`: whether root's keys are brought up to date.
    pub ssh_keys: Manage,
    /// `[ssh-keys] write-to`: where these keys are written.
    pub ssh_keys_place: WriteTo,
    /// `[signal-state] at-boot`: the state that the daemon signals to the platform once in each boot.
    pub boot_state: Option<StateDetail>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            vendor: Vendor::default(),
            key_types: KeyType::ALL.to_vec(),
            regenerate: true,
            read_group: None,
            write_group: None,
            limits: Limits::default(),
            check_interval: Duration::from_secs(55),
            setup: SetupSettings::default(),
            console: Console { enabled: true },
            hostname_managed: false,
            ssh_keys: Manage::default(),
            ssh_keys_place: WriteTo::default(),
            boot_state: None,
        }
    }
}

/// The settings of this machine, for a service that must work even if files have errors. The errors are logged.
pub fn load_and_log() -> Settings {
    let LoadedSettings { settings, problems, .. } = load(&Sources::default());
    for problem in problems {
        tracing::error!("{problem}; this file is ignored");
    }
    settings
}

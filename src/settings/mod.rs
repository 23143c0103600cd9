//! What the administrator asked for: the text of one optional TOML file becomes [`Settings`], every value checked.
//!
//! A key that is not known is an error with its line: a typing error must not pass for a setting. A broken file never
//! leaves the machine without host keys: the caller then goes on with the defaults, and says so.

mod file;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::files;
use crate::host_keys::KeyType;
use crate::metadata::Limits;
use crate::setup::Policy;

/// Where the configuration stands.
pub const FILE: &str = "/etc/scw-agent.toml";
const LARGEST: u64 = 1024 * 1024;

/// The whole configuration. [`Settings::default`] suits a stock image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `[host-keys] types`: which keys a machine must have.
    pub key_types: Vec<KeyType>,
    /// `[host-keys] regenerate`: whether a disk that was cloned to another Instance gets new keys.
    pub regenerate: bool,
    /// `[metadata]`: bounds in time of a request.
    pub limits: Limits,
    /// `[metadata] look-again`: how long until what is published is looked at again (law H4), give or take a fifth.
    pub look_again: Duration,
    /// `[setup]`: what holds for scripts that do not say otherwise.
    pub setup: Policy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            key_types: KeyType::ALL.to_vec(),
            regenerate: true,
            limits: Limits::default(),
            look_again: Duration::from_secs(15 * 60),
            setup: Policy::default(),
        }
    }
}

/// Why the configuration cannot be used.
#[derive(Debug)]
pub enum SettingsError {
    /// The file is there and cannot be read.
    Read(PathBuf, io::Error),
    /// The text is not good; the message has line and column.
    Text(PathBuf, String),
}

impl Settings {
    /// Reads the configuration; without a file, the defaults.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        let read = |why| SettingsError::Read(path.to_owned(), why);
        let Some(bytes) = files::read_bounded(path, LARGEST).map_err(read)? else {
            return Ok(Self::default());
        };
        let text = String::from_utf8(bytes)
            .map_err(|_| SettingsError::Text(path.to_owned(), "the file is not valid UTF-8".to_owned()))?;
        file::parse(&text).map_err(|why| SettingsError::Text(path.to_owned(), why))
    }

    /// The same for a service that must do its work whatever the file says: on an error it is logged, and the defaults hold.
    pub fn load_or_default(path: &Path) -> Self {
        Self::load(path).unwrap_or_else(|why| {
            tracing::error!("{why}; going on with the defaults");
            Self::default()
        })
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, why) => write!(f, "the configuration {} cannot be read: {why}", path.display()),
            Self::Text(path, why) => write!(f, "the configuration {} is not good: {why}", path.display()),
        }
    }
}

impl std::error::Error for SettingsError {}

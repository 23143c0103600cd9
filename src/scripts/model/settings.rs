//! The settings in force for a script: from its script header, else from the configuration. Pure.

use std::time::Duration;

use thiserror::Error;

use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::model::header::{Header, When};
use crate::scripts::model::script::ScriptKind;

/// The settings about scripts in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupSettings {
    /// The timeout of one attempt.
    pub timeout: Duration,
    /// The timeout of a shutdown script's attempt, and of all shutdown scripts together.
    pub shutdown_timeout: Duration,
    /// How long the first script of a boot waits for the network. Zero: it does not wait.
    pub network_wait: Duration,
    /// When a setup script runs again after its content changed.
    pub on_change: OnChange,
    /// The user data key to which the agent publishes the outcome of a boot. `None`, the default: it is not published.
    pub outcome_key: Option<UserDataKey>,
}

/// When a setup script runs again after its content changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnChange {
    /// At the next boot.
    NextBoot,
    /// As soon as the daemon sees the change.
    Now,
    /// Never, unless the script header sets `when=change`.
    Never,
}

impl OnChange {
    /// All values.
    pub const ALL: [Self; 3] = [Self::NextBoot, Self::Now, Self::Never];

    /// The value of the setting in the configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NextBoot => "next-boot",
            Self::Now => "now",
            Self::Never => "never",
        }
    }
}

impl Default for SetupSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(3600),
            shutdown_timeout: Duration::from_secs(60),
            network_wait: Duration::from_secs(60),
            on_change: OnChange::NextBoot,
            outcome_key: None,
        }
    }
}

impl SetupSettings {
    /// The timeout of one attempt of a script of this kind.
    pub fn timeout_of(&self, kind: ScriptKind) -> Duration {
        if kind == ScriptKind::Shutdown { self.shutdown_timeout } else { self.timeout }
    }

    /// When a script of this kind is due, unless its header sets `when=`.
    pub fn when(&self, kind: ScriptKind) -> When {
        match kind {
            ScriptKind::Setup if self.on_change == OnChange::Never => When::Once,
            ScriptKind::Setup => When::Change,
            ScriptKind::Startup | ScriptKind::Shutdown => When::Boot,
        }
    }
}

/// The settings in force for one script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptSettings {
    /// The timeout of one attempt.
    pub timeout: Duration,
    /// How many times the script is started again after a failure.
    pub retries: u32,
    /// How long to wait before each retry.
    pub retry_delay: Duration,
    /// The user that the script runs as. `None`: root.
    pub user: Option<String>,
    /// When the script is due.
    pub when: When,
    /// Whether the agent deletes the script's user data key after a success.
    pub delete_after_success: bool,
    /// Additional environment variables.
    pub environment: Vec<(String, String)>,
}

/// A header setting that this script cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScriptSettingsError {
    /// `when=` in a shutdown script.
    #[error("`when=` has no meaning for a shutdown script, which runs when the machine goes down")]
    WhenAtShutdown,
    /// `delete-after-success` in one part of the MIME message in the key `cloud-init`.
    #[error(
        "`delete-after-success` is not allowed in a part of a message: its key contains the other parts, too"
    )]
    DeleteOfPart,
}

impl ScriptSettings {
    /// The settings of a value whose header cannot be used. Such a value does not run.
    pub fn defaults(kind: ScriptKind, setup_settings: &SetupSettings) -> Self {
        Self::with(kind, Header::default(), setup_settings)
    }

    /// The settings of a script of this kind. `is_part`: it is a part of a MIME message.
    ///
    /// # Errors
    /// When the header has a setting that this script cannot have.
    pub fn of(
        kind: ScriptKind,
        is_part: bool,
        header: &Header,
        setup_settings: &SetupSettings,
    ) -> Result<Self, ScriptSettingsError> {
        if kind == ScriptKind::Shutdown && header.when.is_some() {
            return Err(ScriptSettingsError::WhenAtShutdown);
        }
        if is_part && header.delete_after_success {
            return Err(ScriptSettingsError::DeleteOfPart);
        }
        Ok(Self::with(kind, header.clone(), setup_settings))
    }

    fn with(kind: ScriptKind, header: Header, setup_settings: &SetupSettings) -> Self {
        Self {
            timeout: header.timeout.unwrap_or(setup_settings.timeout_of(kind)),
            retries: header.retries.unwrap_or(0),
            retry_delay: header.retry_delay.unwrap_or(Duration::from_secs(10)),
            user: header.user,
            when: header.when.unwrap_or(setup_settings.when(kind)),
            delete_after_success: header.delete_after_success,
            environment: header.environment,
        }
    }
}

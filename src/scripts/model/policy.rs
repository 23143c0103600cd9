//! What holds for a script: what it asks for itself, or else what the configuration says. Pure.

use std::fmt;
use std::time::Duration;

use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::model::header::{Header, When};
use crate::scripts::model::script::ScriptKind;

/// What the configuration says about scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long an attempt may take.
    pub timeout: Duration,
    /// The same when the machine goes down, and how long all that runs then may take together.
    pub shutdown_timeout: Duration,
    /// How long the first script of a boot waits for the network; zero for not at all.
    pub network_wait: Duration,
    /// When a setup script whose content changed is run.
    pub on_change: OnChange,
    /// The user data key under which a boot's outcome is published; nothing is, by default.
    pub outcome_key: Option<UserDataKey>,
}

/// When a setup script whose content changed is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnChange {
    /// At the next boot.
    NextBoot,
    /// When the daemon sees it.
    Now,
    /// Not at all, if the script itself does not say `when=change`.
    Never,
}

impl OnChange {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::NextBoot, Self::Now, Self::Never];

    /// The word that the configuration has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NextBoot => "next-boot",
            Self::Now => "now",
            Self::Never => "never",
        }
    }
}

impl Default for Policy {
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

impl Policy {
    /// How long an attempt of a script of this kind may take.
    pub fn timeout_of(&self, kind: ScriptKind) -> Duration {
        if kind == ScriptKind::Shutdown { self.shutdown_timeout } else { self.timeout }
    }

    /// When a script of this kind is due.
    pub fn when(&self, kind: ScriptKind) -> When {
        match kind {
            ScriptKind::Setup if self.on_change == OnChange::Never => When::Once,
            ScriptKind::Setup => When::Change,
            ScriptKind::Startup | ScriptKind::Shutdown => When::Boot,
        }
    }
}

/// What holds for one script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long an attempt may take.
    pub timeout: Duration,
    /// How often it is started again when it failed.
    pub retries: u32,
    /// The pause before that.
    pub retry_delay: Duration,
    /// As whom it runs; root, if it does not say.
    pub user: Option<String>,
    /// When it is due.
    pub when: When,
    /// Whether its key is deleted once it succeeded.
    pub delete_after_success: bool,
    /// Additions to its environment.
    pub environment: Vec<(String, String)>,
}

/// A setting that has no meaning for this script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TermsError {
    /// `when=` in a shutdown script.
    WhenAtShutdown,
    /// `delete-after-success` in a part of what `cloud-init` holds.
    DeleteOfPart,
}

impl Terms {
    /// What holds for a value whose own wishes are not understood; it is not run.
    pub fn plain(kind: ScriptKind, policy: &Policy) -> Self {
        Self::with(kind, Header::default(), policy)
    }

    /// What holds for a script of this kind.
    ///
    /// # Errors
    /// When it asks for what its kind cannot have.
    pub fn of(kind: ScriptKind, is_part: bool, header: &Header, policy: &Policy) -> Result<Self, TermsError> {
        if kind == ScriptKind::Shutdown && header.when.is_some() {
            return Err(TermsError::WhenAtShutdown);
        }
        if is_part && header.delete_after_success {
            return Err(TermsError::DeleteOfPart);
        }
        Ok(Self::with(kind, header.clone(), policy))
    }

    fn with(kind: ScriptKind, header: Header, policy: &Policy) -> Self {
        Self {
            timeout: header.timeout.unwrap_or(policy.timeout_of(kind)),
            retries: header.retries.unwrap_or(0),
            retry_delay: header.retry_delay.unwrap_or(Duration::from_secs(10)),
            user: header.user,
            when: header.when.unwrap_or(policy.when(kind)),
            delete_after_success: header.delete_after_success,
            environment: header.environment,
        }
    }
}

impl fmt::Display for TermsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WhenAtShutdown => {
                "`when=` has no meaning for a shutdown script, which runs when the machine goes down"
            }
            Self::DeleteOfPart => {
                "`delete-after-success` is not for a part of a message: its key holds the other parts, too"
            }
        })
    }
}

impl std::error::Error for TermsError {}

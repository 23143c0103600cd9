//! The settings `[ssh-keys] manage` and `write-to`.

/// When the agent brings root's keys up to date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manage {
    /// Never.
    #[default]
    Off,
    /// Once in each boot.
    Boot,
    /// In each boot, and whenever the owner adds or removes a key.
    Live,
}

impl Manage {
    /// Every choice, by its name in the configuration.
    pub(crate) const NAMES: [(&str, Self); 3] =
        [("off", Self::Off), ("boot", Self::Boot), ("live", Self::Live)];

    /// The name in the configuration.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, manage)| *manage == self).map_or("", |(name, _)| name)
    }
}

/// Where the managed keys are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteTo {
    /// In a file of the agent's own, which a drop-in has sshd read.
    #[default]
    OwnFile,
    /// In a marked block of root's own file.
    AuthorizedKeys,
}

impl WriteTo {
    /// Every choice, by its name in the configuration.
    pub(crate) const NAMES: [(&str, Self); 2] =
        [("own-file", Self::OwnFile), ("authorized-keys", Self::AuthorizedKeys)];

    /// The name in the configuration.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, place)| *place == self).map_or("", |(name, _)| name)
    }
}

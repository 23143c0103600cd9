//! Scaleway's configuration file: settings at the top level, profiles over them. Pure.
//!
//! An error names the setting, never its value, which may be a secret (invariant S3).

use yaml_rust2::{Yaml, YamlLoader};

/// What a profile can set, as far as this program needs it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// `secret_key`
    pub secret_key: Option<String>,
    /// `api_url`
    pub api_url: Option<String>,
    /// `default_zone`
    pub default_zone: Option<String>,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// It is no YAML.
    #[error("line {line}: not valid YAML")]
    Yaml {
        /// The line, from 1.
        line: usize,
    },
    /// It is YAML, but no mapping.
    #[error("it must consist of lines `setting: value`")]
    NoMapping,
    /// A setting has another type.
    #[error("`{setting}` must be a text")]
    NoText {
        /// The setting.
        setting: &'static str,
    },
    /// The profile does not exist.
    #[error("the profile that {wanted_by} names does not exist")]
    NoProfile {
        /// Where its name comes from.
        wanted_by: &'static str,
    },
}

/// The profile that applies: the one that `SCW_PROFILE` names, or `active_profile`, or the top level alone.
pub fn active_profile(text: &str, wanted: Option<&str>) -> Result<Profile, ConfigError> {
    let documents =
        YamlLoader::load_from_str(text).map_err(|error| ConfigError::Yaml { line: error.marker().line() })?;
    let top = match documents.first() {
        None | Some(Yaml::Null) => Yaml::Hash(yaml_rust2::yaml::Hash::new()),
        Some(document) => document.clone(),
    };
    if top.as_hash().is_none() {
        return Err(ConfigError::NoMapping);
    }
    let base = profile(&top)?;
    let active = text_of(&top, "active_profile")?;
    let (name, wanted_by) = match (wanted.filter(|name| !name.is_empty()), &active) {
        (Some(name), _) => (name, "SCW_PROFILE"),
        (None, Some(name)) => (name.as_str(), "`active_profile`"),
        (None, None) => return Ok(base),
    };
    // The SDK calls the top level so, whatever profiles there are.
    if name == "default" {
        return Ok(base);
    }
    match &top["profiles"][name] {
        Yaml::BadValue => Err(ConfigError::NoProfile { wanted_by }),
        named => Ok(profile(named)?.over(base)),
    }
}

impl Profile {
    /// This profile, and what it does not set from another one.
    pub fn over(self, other: Self) -> Self {
        Self {
            secret_key: self.secret_key.or(other.secret_key),
            api_url: self.api_url.or(other.api_url),
            default_zone: self.default_zone.or(other.default_zone),
        }
    }
}

fn profile(from: &Yaml) -> Result<Profile, ConfigError> {
    Ok(Profile {
        secret_key: text_of(from, "secret_key")?,
        api_url: text_of(from, "api_url")?,
        default_zone: text_of(from, "default_zone")?,
    })
}

fn text_of(from: &Yaml, setting: &'static str) -> Result<Option<String>, ConfigError> {
    match &from[setting] {
        Yaml::BadValue | Yaml::Null => Ok(None),
        Yaml::String(text) | Yaml::Real(text) => Ok(Some(text.clone())),
        Yaml::Integer(number) => Ok(Some(number.to_string())),
        _ => Err(ConfigError::NoText { setting }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
api_url: https://top
secret_key: top
default_zone: fr-par-1
profiles:
  work: { secret_key: work, default_zone: nl-ams-1 }
  empty:
";

    fn secret(text: &str, wanted: Option<&str>) -> Result<Option<String>, ConfigError> {
        active_profile(text, wanted).map(|profile| profile.secret_key)
    }

    #[test]
    fn profile_is_chosen_as_in_the_sdk() {
        let active = &format!("{FILE}active_profile: work\n");
        for (text, wanted, found) in [
            (FILE, None, "top"),
            (FILE, Some(""), "top"),
            (FILE, Some("work"), "work"),
            (FILE, Some("empty"), "top"),
            (FILE, Some("default"), "top"),
            (active, None, "work"),
            (active, Some("default"), "top"),
        ] {
            assert_eq!(secret(text, wanted), Ok(Some(found.to_owned())), "{wanted:?}");
        }
    }

    #[test]
    fn profile_is_laid_over_the_top_level() {
        let profile = active_profile(FILE, Some("work")).expect("a profile");
        assert_eq!(profile.api_url.as_deref(), Some("https://top"));
        assert_eq!(profile.default_zone.as_deref(), Some("nl-ams-1"));
    }

    #[test]
    fn wrong_files_are_errors_without_a_value() {
        for (text, wanted, error) in [
            ("", None, None),
            ("# nothing\n", None, None),
            ("- a\n", None, Some(ConfigError::NoMapping)),
            ("secret_key: [a]\n", None, Some(ConfigError::NoText { setting: "secret_key" })),
            ("a: 1\nsecret_key: \"hidden\n", None, Some(ConfigError::Yaml { line: 2 })),
            (FILE, Some("other"), Some(ConfigError::NoProfile { wanted_by: "SCW_PROFILE" })),
            ("active_profile: x", None, Some(ConfigError::NoProfile { wanted_by: "`active_profile`" })),
        ] {
            let found = active_profile(text, wanted).err();
            assert!(!format!("{found:?}").contains("hidden"));
            assert_eq!(found, error, "{text:?}");
        }
    }
}

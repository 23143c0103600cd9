//! Converts TOML values to the values of settings. An error has the position of the value. Pure.
//!
//! A message may quote an invalid value, escaped and truncated: only root writes the configuration, and no setting is a secret.

use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use crate::host_keys::key::key_type::KeyType;
use crate::metadata::api::state_detail::StateDetail;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::model::script::ScriptKind;
use crate::scripts::model::settings::OnChange;
use crate::system::platform::Vendor;
use crate::util::duration::{self, DurationFault};
use crate::util::printable;

/// A value with its position in the file.
pub(crate) type TomlValue<'a> = Spanned<DeValue<'a>>;

/// The longest accepted `[setup] shutdown-timeout`.
const MAX_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(600);

/// Why a value is not accepted.
pub(crate) struct InvalidValue {
    /// The offset of the value in the file, in bytes.
    pub(crate) at: usize,
    /// What is wrong.
    pub(crate) what: String,
}

impl InvalidValue {
    fn at(value: &TomlValue<'_>, what: impl Into<String>) -> Self {
        Self { at: value.span().start, what: what.into() }
    }

    /// The value has the wrong type.
    pub(crate) fn expected(expected: &str, value: &TomlValue<'_>) -> Self {
        let actual = value.get_ref().type_str();
        let article = if actual.starts_with(['a', 'i']) { "an" } else { "a" };
        Self::at(value, format!("{expected} is expected here, not {article} {actual}"))
    }
}

fn string<'a>(value: &'a TomlValue<'_>) -> Result<&'a str, InvalidValue> {
    value.get_ref().as_str().ok_or_else(|| InvalidValue::expected("a string", value))
}

/// A boolean.
pub(crate) fn boolean(value: &TomlValue<'_>) -> Result<bool, InvalidValue> {
    value.get_ref().as_bool().ok_or_else(|| InvalidValue::expected("true or false", value))
}

/// One of the given choices; each has a name and a meaning.
pub(crate) fn one_of<T>(
    value: &TomlValue<'_>,
    choices: impl IntoIterator<Item = (String, T)>,
) -> Result<T, InvalidValue> {
    let given = string(value)?;
    let mut names = Vec::new();
    for (name, meaning) in choices {
        if name == given {
            return Ok(meaning);
        }
        names.push(format!("{name:?}"));
    }
    Err(InvalidValue::at(value, format!("\"{}\" is not one of {}", printable::name(given), names.join(", "))))
}

/// A DMI system vendor. The empty string means any machine.
pub(crate) fn vendor(value: &TomlValue<'_>) -> Result<Vendor, InvalidValue> {
    let name = string(value)?;
    if name.is_empty() {
        return Ok(Vendor::Any);
    }
    if name.trim() != name || name.chars().any(char::is_control) {
        let what = format!(
            "\"{}\" cannot be a DMI system vendor: it has control characters, or blanks at its ends",
            printable::name(name)
        );
        return Err(InvalidValue::at(value, what));
    }
    Ok(Vendor::Named(name.to_owned()))
}

/// Key types, sorted and without duplicates. There must be at least one, because sshd does not start without a host key.
pub(crate) fn key_types(value: &TomlValue<'_>) -> Result<Vec<KeyType>, InvalidValue> {
    let list = value.get_ref().as_array().ok_or_else(|| InvalidValue::expected("a list", value))?;
    let choices = || KeyType::ALL.into_iter().map(|key_type| (key_type.to_string(), key_type));
    let mut types = list.iter().map(|item| one_of(item, choices())).collect::<Result<Vec<_>, _>>()?;
    if types.is_empty() {
        return Err(InvalidValue::at(value, "types is empty: sshd needs at least one host key"));
    }
    types.sort_unstable();
    types.dedup();
    Ok(types)
}

/// The name of a group; `None` if the text is empty. Whether the group exists is checked later, for each connection.
pub(crate) fn group(value: &TomlValue<'_>) -> Result<Option<String>, InvalidValue> {
    let name = string(value)?;
    if name.chars().all(|c| c.is_alphanumeric() || "-_.@$".contains(c)) {
        return Ok(Some(name.to_owned()).filter(|name| !name.is_empty()));
    }
    Err(InvalidValue::at(value, format!("\"{}\" cannot be the name of a group", printable::name(name))))
}

/// A duration such as `90s` or `1h 30m`, greater than zero.
pub(crate) fn positive_duration(value: &TomlValue<'_>) -> Result<Duration, InvalidValue> {
    let duration = duration_or_zero(value)?;
    if duration.is_zero() {
        return Err(InvalidValue::at(value, "the time must be greater than zero"));
    }
    Ok(duration)
}

/// A duration that may be zero, which means no wait.
pub(crate) fn duration_or_zero(value: &TomlValue<'_>) -> Result<Duration, InvalidValue> {
    let text = string(value)?;
    duration::parse(text).map_err(|fault| match fault {
        DurationFault::TooLong => InvalidValue::at(value, "the time must be at most a year"),
        DurationFault::Malformed => {
            let text = printable::name(text);
            InvalidValue::at(value, format!("\"{text}\" is not a duration such as \"90s\" or \"10m\""))
        }
    })
}

/// How long the machine waits for scripts before it goes down. `TimeoutStopSec=` of scw-agent-shutdown.service is a little longer.
pub(crate) fn shutdown_timeout(value: &TomlValue<'_>) -> Result<Duration, InvalidValue> {
    let duration = positive_duration(value)?;
    if duration > MAX_SHUTDOWN_TIMEOUT {
        return Err(InvalidValue::at(value, "shutdown-timeout must be at most 10m"));
    }
    Ok(duration)
}

/// When a setup script runs after its content changed.
pub(crate) fn on_change(value: &TomlValue<'_>) -> Result<OnChange, InvalidValue> {
    one_of(value, OnChange::ALL.map(|when| (when.as_str().to_owned(), when)))
}

/// A user data key that nothing else uses; `None` if the text is empty.
pub(crate) fn outcome_key(value: &TomlValue<'_>) -> Result<Option<UserDataKey>, InvalidValue> {
    let name = string(value)?;
    if name.is_empty() {
        return Ok(None);
    }
    let key = UserDataKey::new(name).map_err(|why| InvalidValue::at(value, why.to_string()))?;
    let is_used = key == UserDataKey::fingerprints()
        || key == UserDataKey::cloud_init()
        || ScriptKind::of(&key).is_some();
    if is_used {
        let what = format!("the user data key {key} is already used by the agent or by cloud-init");
        return Err(InvalidValue::at(value, what));
    }
    Ok(Some(key))
}

/// A state of the Instance; `None` if the text is empty.
pub(crate) fn state(value: &TomlValue<'_>) -> Result<Option<StateDetail>, InvalidValue> {
    let text = string(value)?;
    if text.is_empty() {
        return Ok(None);
    }
    StateDetail::new(text).map(Some).map_err(|why| InvalidValue::at(value, why.to_string()))
}

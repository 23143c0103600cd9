//! From a value as TOML has it to one that a setting can hold; what is wrong with it is said with its place. Pure.
//!
//! A wrong value is named, escaped and bounded: the configuration is root's and has no place for a secret.

use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use crate::host_keys::key::key_type::KeyType;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::model::policy::OnChange;
use crate::scripts::model::script::ScriptKind;
use crate::system::platform::Vendor;
use crate::util::printable;

/// A value as it is written.
pub(crate) type TomlValue<'a> = Spanned<DeValue<'a>>;

const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
const LONGEST_SHUTDOWN: Duration = Duration::from_secs(600);

/// Why a value is not good.
pub(crate) struct Wrong {
    /// The byte at which it begins.
    pub(crate) at: usize,
    /// In words.
    pub(crate) what: String,
}

impl Wrong {
    fn at(value: &TomlValue<'_>, what: impl Into<String>) -> Self {
        Self { at: value.span().start, what: what.into() }
    }

    /// It is of another kind than it should be.
    pub(crate) fn expected(kind: &str, value: &TomlValue<'_>) -> Self {
        let found = value.get_ref().type_str();
        let article = if found.starts_with(['a', 'i']) { "an" } else { "a" };
        Self::at(value, format!("{kind} is expected here, not {article} {found}"))
    }
}

fn string<'a>(value: &'a TomlValue<'_>) -> Result<&'a str, Wrong> {
    value.get_ref().as_str().ok_or_else(|| Wrong::expected("a string", value))
}

/// True or false.
pub(crate) fn switch(value: &TomlValue<'_>) -> Result<bool, Wrong> {
    value.get_ref().as_bool().ok_or_else(|| Wrong::expected("true or false", value))
}

/// One of some words.
pub(crate) fn word<T>(
    value: &TomlValue<'_>,
    words: impl IntoIterator<Item = (String, T)>,
) -> Result<T, Wrong> {
    let given = string(value)?;
    let mut known = Vec::new();
    for (word, meaning) in words {
        if word == given {
            return Ok(meaning);
        }
        known.push(format!("{word:?}"));
    }
    Err(Wrong::at(value, format!("\"{}\" is none of {}", printable::name(given), known.join(", "))))
}

/// A DMI system vendor; the empty string stands for any machine.
pub(crate) fn vendor(value: &TomlValue<'_>) -> Result<Vendor, Wrong> {
    let name = string(value)?;
    if name.is_empty() {
        return Ok(Vendor::Any);
    }
    if name.trim() != name || name.chars().any(char::is_control) {
        let what = format!(
            "\"{}\" cannot be a DMI system vendor: it has control characters, or blanks at its ends",
            printable::name(name)
        );
        return Err(Wrong::at(value, what));
    }
    Ok(Vendor::Named(name.to_owned()))
}

/// Types of host key, each once: at least one, since sshd does not start without a host key.
pub(crate) fn key_types(value: &TomlValue<'_>) -> Result<Vec<KeyType>, Wrong> {
    let list = value.get_ref().as_array().ok_or_else(|| Wrong::expected("a list", value))?;
    let named = || KeyType::ALL.into_iter().map(|key_type| (key_type.to_string(), key_type));
    let mut types = list.iter().map(|item| word(item, named())).collect::<Result<Vec<_>, _>>()?;
    if types.is_empty() {
        return Err(Wrong::at(value, "types is empty: sshd needs at least one host key"));
    }
    types.sort_unstable();
    types.dedup();
    Ok(types)
}

/// A group's name; none where the text is empty. Whether there is such a group is known only when somebody asks.
pub(crate) fn group(value: &TomlValue<'_>) -> Result<Option<String>, Wrong> {
    let name = string(value)?;
    if name.chars().all(|c| c.is_alphanumeric() || "-_.@$".contains(c)) {
        return Ok(Some(name.to_owned()).filter(|name| !name.is_empty()));
    }
    Err(Wrong::at(value, format!("\"{}\" cannot be the name of a group", printable::name(name))))
}

/// A length of time as people write it (`90s`, `1h 30m`), never zero.
pub(crate) fn length(value: &TomlValue<'_>) -> Result<Duration, Wrong> {
    let text = string(value)?;
    match humantime::parse_duration(text) {
        Ok(length) if length > LONGEST => {
            Err(Wrong::at(value, "more than a year is not a sensible time here"))
        }
        Ok(length) if !length.is_zero() => Ok(length),
        Ok(_) => Err(Wrong::at(value, "a time of zero would never be kept")),
        Err(_) => {
            let text = printable::name(text);
            Err(Wrong::at(value, format!("\"{text}\" is not a length of time such as \"90s\" or \"10m\"")))
        }
    }
}

/// A length of time that may be zero: then nothing is waited for.
pub(crate) fn length_or_zero(value: &TomlValue<'_>) -> Result<Duration, Wrong> {
    match string(value).ok().and_then(|text| humantime::parse_duration(text).ok()) {
        Some(Duration::ZERO) => Ok(Duration::ZERO),
        _ => length(value),
    }
}

/// How long the machine waits before it goes down: `TimeoutStopSec=` of scw-agent-shutdown.service is a bit more.
pub(crate) fn shutdown_length(value: &TomlValue<'_>) -> Result<Duration, Wrong> {
    let length = length(value)?;
    if length > LONGEST_SHUTDOWN {
        return Err(Wrong::at(value, "the machine waits no more than 10m before it goes down"));
    }
    Ok(length)
}

/// When a changed setup script is run.
pub(crate) fn on_change(value: &TomlValue<'_>) -> Result<OnChange, Wrong> {
    word(value, OnChange::ALL.map(|when| (when.as_str().to_owned(), when)))
}

/// A user data key that is nobody's yet, or nothing for none.
pub(crate) fn outcome_key(value: &TomlValue<'_>) -> Result<Option<UserDataKey>, Wrong> {
    let name = string(value)?;
    if name.is_empty() {
        return Ok(None);
    }
    let key = UserDataKey::new(name).map_err(|why| Wrong::at(value, why.to_string()))?;
    let taken = key == UserDataKey::fingerprints()
        || key == UserDataKey::cloud_init()
        || ScriptKind::of(&key).is_some();
    if taken {
        return Err(Wrong::at(value, format!("the user data key {key} has a meaning of its own")));
    }
    Ok(Some(key))
}

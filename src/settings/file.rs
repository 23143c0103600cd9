//! The configuration as it is written: every key optional. From here it becomes [`Settings`], with the defaults.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::Settings;
use crate::host_keys::KeyType;
use crate::metadata::{Limits, UserDataKey};
use crate::setup::{Policy, ScriptKind};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct File {
    host_keys: HostKeys,
    metadata: Metadata,
    setup: Setup,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct HostKeys {
    types: Option<Vec<KeyType>>,
    regenerate: Option<Regenerate>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Regenerate {
    NewInstance,
    Never,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Metadata {
    connect_timeout: Option<Length>,
    headers_timeout: Option<Length>,
    body_timeout: Option<Length>,
    whole_timeout: Option<Length>,
    look_again: Option<Length>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Setup {
    timeout: Option<Length>,
    outcome_key: Option<OutcomeKey>,
}

const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// A length of time as people write it (`90s`, `1h 30m`), never zero.
struct Length(Duration);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match humantime::parse_duration(&text) {
            Ok(length) if length > LONGEST => {
                Err(D::Error::custom("more than a year is not a sensible time here"))
            }
            Ok(length) if !length.is_zero() => Ok(Self(length)),
            Ok(_) => Err(D::Error::custom("a time of zero would never be kept")),
            Err(why) => Err(D::Error::custom(format!(
                "{text:?} is not a length of time such as \"90s\" or \"10m\": {why}"
            ))),
        }
    }
}

/// A user data key that is nobody's yet.
struct OutcomeKey(UserDataKey);

impl<'de> Deserialize<'de> for OutcomeKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let key = UserDataKey::new(&String::deserialize(from)?).map_err(D::Error::custom)?;
        let taken = key == UserDataKey::fingerprints()
            || key.as_str() == "cloud-init"
            || ScriptKind::of(&key).is_some();
        if taken {
            return Err(D::Error::custom(format!("the user data key {key} has a meaning of its own")));
        }
        Ok(Self(key))
    }
}

/// Reads the text of a configuration file.
///
/// # Errors
/// A message for a person, with line, column and the line itself.
pub(super) fn parse(text: &str) -> Result<Settings, String> {
    let file: File = toml::from_str(text).map_err(|why| why.to_string().trim_end().to_owned())?;
    let defaults = Settings::default();
    let or = |given: Option<Length>, default| given.map_or(default, |length| length.0);
    let mut key_types = file.host_keys.types.unwrap_or(defaults.key_types);
    if key_types.is_empty() {
        return Err("[host-keys] types is empty: sshd needs at least one host key".to_owned());
    }
    key_types.sort_unstable();
    key_types.dedup();
    Ok(Settings {
        key_types,
        regenerate: file.host_keys.regenerate != Some(Regenerate::Never),
        limits: Limits {
            connect: or(file.metadata.connect_timeout, defaults.limits.connect),
            headers: or(file.metadata.headers_timeout, defaults.limits.headers),
            body: or(file.metadata.body_timeout, defaults.limits.body),
            whole: or(file.metadata.whole_timeout, defaults.limits.whole),
        },
        look_again: or(file.metadata.look_again, defaults.look_again),
        setup: Policy {
            timeout: or(file.setup.timeout, defaults.setup.timeout),
            outcome_key: file.setup.outcome_key.map(|key| key.0),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(parse(""), Ok(Settings::default()));
        assert_eq!(parse("[host-keys]\n[metadata]\n[setup]\n"), Ok(Settings::default()));
    }

    #[test]
    fn every_key_can_be_set() {
        let text = "[host-keys]\ntypes = [\"rsa\", \"ed25519\", \"rsa\"]\nregenerate = \"never\"\n[metadata]\nconnect-timeout = \"1s\"\nheaders-timeout = \"2s\"\nbody-timeout = \"3s\"\nwhole-timeout = \"4s\"\nlook-again = \"1h\"\n[setup]\ntimeout = \"5m\"\noutcome-key = \"ready\"\n";
        let seconds = Duration::from_secs;
        let limits = Limits { connect: seconds(1), headers: seconds(2), body: seconds(3), whole: seconds(4) };
        let key_types = vec![KeyType::Ed25519, KeyType::Rsa];
        let expected = Settings {
            key_types,
            regenerate: false,
            limits,
            look_again: seconds(3600),
            setup: Policy {
                timeout: seconds(300),
                outcome_key: Some(UserDataKey::new("ready").expect("a good key")),
            },
        };
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, line, what) in [
            ("[setup]\ntimeuot = \"5m\"\n", "line 2", "timeuot"),
            ("[setup]\ntimeout = \"5 parsecs\"\n", "line 2", "parsecs"),
            ("[setup]\ntimeout = \"0s\"\n", "line 2", "zero"),
            ("[setup]\ntimeout = \"550000000000y\"\n", "line 2", "year"),
            ("[host-keys]\ntypes = [\"dsa\"]\n", "line 2", "dsa"),
            ("[host-keys]\nregenerate = \"sometimes\"\n", "line 2", "sometimes"),
            ("[setup]\noutcome-key = \"setup-script.x\"\n", "line 2", "meaning of its own"),
            ("[setup\n", "line 1", ""),
        ] {
            let why = parse(text).expect_err(text);
            assert!(why.contains(line) && why.contains(what), "{why}");
        }
        assert!(parse("[host-keys]\ntypes = []").expect_err("no types").contains("at least one"));
    }
}

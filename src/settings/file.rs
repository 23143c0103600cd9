//! One file of the configuration as it is written, every key optional; and how all of them together become [`Settings`]. Pure.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::Settings;
use super::error::Fault;
use super::keys::{KEYS, nearest};
use crate::host_keys::KeyType;
use crate::metadata::{Limits, UserDataKey};
use crate::setup::{OnChange, Policy, ScriptKind};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct File {
    host_keys: HostKeys,
    local_api: LocalApi,
    metadata: Metadata,
    setup: Setup,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct HostKeys {
    types: Option<KeyTypes>,
    regenerate: Option<Regenerate>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Regenerate {
    NewInstance,
    Never,
}

/// At least one: without a host key, sshd does not start.
struct KeyTypes(Vec<KeyType>);

impl<'de> Deserialize<'de> for KeyTypes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let types = Vec::deserialize(from)?;
        let none = || D::Error::custom("types is empty: sshd needs at least one host key");
        if types.is_empty() { Err(none()) } else { Ok(Self(types)) }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct LocalApi {
    read_group: Option<GroupName>,
    write_group: Option<GroupName>,
}

/// A group's name, or nothing for no group. Whether there is such a group is known only when somebody asks.
struct GroupName(String);

impl<'de> Deserialize<'de> for GroupName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        let good = |c: char| c.is_alphanumeric() || "-_.@$".contains(c);
        if name.chars().all(good) {
            return Ok(Self(name));
        }
        Err(D::Error::custom(format!("{name:?} cannot be the name of a group")))
    }
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
    shutdown_timeout: Option<ShutdownLength>,
    on_change: Option<OnChange>,
    outcome_key: Option<OutcomeKey>,
}

const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
const LONGEST_SHUTDOWN: Duration = Duration::from_secs(600);

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

/// How long the machine waits before it goes down: `TimeoutStopSec=` of scw-agent-shutdown.service is a bit more.
struct ShutdownLength(Duration);

impl<'de> Deserialize<'de> for ShutdownLength {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Length(length) = Length::deserialize(from)?;
        if length > LONGEST_SHUTDOWN {
            return Err(D::Error::custom("the machine waits no more than 10m before it goes down"));
        }
        Ok(Self(length))
    }
}

/// A user data key that is nobody's yet, or nothing for none.
struct OutcomeKey(Option<UserDataKey>);

impl<'de> Deserialize<'de> for OutcomeKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        if name.is_empty() {
            return Ok(Self(None));
        }
        let key = UserDataKey::new(&name).map_err(D::Error::custom)?;
        let taken = key == UserDataKey::fingerprints()
            || key == UserDataKey::cloud_init()
            || ScriptKind::of(&key).is_some();
        if taken {
            return Err(D::Error::custom(format!("the user data key {key} has a meaning of its own")));
        }
        Ok(Self(Some(key)))
    }
}

/// What one file says.
pub(super) type Fragment = toml::Table;

/// Reads the text of one file: every key known, every value good.
pub(super) fn parse(text: &str) -> Result<Fragment, Fault> {
    let bad = |why: toml::de::Error| {
        Fault::new(text, why.span().map(|span| span.start), why.message().trim_end().replace('\n', ", "))
    };
    let spanned = toml::de::DeTable::parse(text).map_err(bad)?;
    for (section, value) in spanned.get_ref() {
        let unknown = |word: &toml::Spanned<_>, what: String, meant: Option<&str>| {
            let fault = Fault::new(text, Some(word.span().start), what);
            Err(Fault { suggestion: meant.map(str::to_owned), ..fault })
        };
        let name: &str = section.get_ref();
        let mut sections = KEYS.iter().map(|key| key.section);
        if !sections.clone().any(|known| known == name) {
            return unknown(
                section,
                format!("there is no section [{name}]"),
                nearest(name, sections.by_ref()),
            );
        }
        let keys = || KEYS.iter().filter(|key| key.section == name).map(|key| key.name);
        for key in value.get_ref().as_table().into_iter().flat_map(|table| table.keys()) {
            let word: &str = key.get_ref();
            if !keys().any(|known| known == word) {
                return unknown(key, format!("there is no key `{word}` in [{name}]"), nearest(word, keys()));
            }
        }
    }
    toml::from_str::<File>(text).map_err(bad)?;
    toml::from_str(text).map_err(bad)
}

/// All files together become settings, the defaults where they say nothing.
///
/// # Errors
/// In words: what one file alone could not show.
pub(super) fn validated(merged: Fragment) -> Result<Settings, String> {
    let file: File = merged.try_into().map_err(|why: toml::de::Error| why.message().to_owned())?;
    let defaults = Settings::default();
    let or = |given: Option<Length>, default| given.map_or(default, |length| length.0);
    let group = |given: Option<GroupName>| given.map(|name| name.0).filter(|name| !name.is_empty());
    let mut key_types = file.host_keys.types.map_or(defaults.key_types, |types| types.0);
    key_types.sort_unstable();
    key_types.dedup();
    Ok(Settings {
        key_types,
        regenerate: file.host_keys.regenerate != Some(Regenerate::Never),
        readers: group(file.local_api.read_group),
        writers: group(file.local_api.write_group),
        limits: Limits {
            connect: or(file.metadata.connect_timeout, defaults.limits.connect),
            headers: or(file.metadata.headers_timeout, defaults.limits.headers),
            body: or(file.metadata.body_timeout, defaults.limits.body),
            whole: or(file.metadata.whole_timeout, defaults.limits.whole),
        },
        look_again: or(file.metadata.look_again, defaults.look_again),
        setup: Policy {
            timeout: or(file.setup.timeout, defaults.setup.timeout),
            shutdown_timeout: file.setup.shutdown_timeout.map_or(defaults.setup.shutdown_timeout, |l| l.0),
            on_change: file.setup.on_change.unwrap_or(defaults.setup.on_change),
            outcome_key: file.setup.outcome_key.and_then(|key| key.0),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_means_the_defaults() {
        for text in ["", "[host-keys]\n[local-api]\n[metadata]\n[setup]\n"] {
            assert_eq!(validated(parse(text).expect(text)), Ok(Settings::default()));
        }
    }

    #[test]
    fn every_key_can_be_set() {
        let text = "[host-keys]\ntypes = [\"rsa\", \"ed25519\", \"rsa\"]\nregenerate = \"never\"\n[local-api]\nread-group = \"adm\"\nwrite-group = \"sudo\"\n[metadata]\nconnect-timeout = \"1s\"\nheaders-timeout = \"2s\"\nbody-timeout = \"3s\"\nwhole-timeout = \"4s\"\nlook-again = \"1h\"\n[setup]\ntimeout = \"5m\"\nshutdown-timeout = \"2m\"\non-change = \"now\"\noutcome-key = \"ready\"\n";
        let seconds = Duration::from_secs;
        let limits = Limits { connect: seconds(1), headers: seconds(2), body: seconds(3), whole: seconds(4) };
        let expected = Settings {
            key_types: vec![KeyType::Ed25519, KeyType::Rsa],
            regenerate: false,
            readers: Some("adm".to_owned()),
            writers: Some("sudo".to_owned()),
            limits,
            look_again: seconds(3600),
            setup: Policy {
                timeout: seconds(300),
                shutdown_timeout: seconds(120),
                on_change: OnChange::Now,
                outcome_key: Some(UserDataKey::new("ready").expect("a good key")),
            },
        };
        let read = validated(parse(text).expect("good")).expect("good");
        assert_eq!(read, expected);
        for key in KEYS {
            assert_ne!((key.value)(&read), (key.value)(&Settings::default()), "{} is not set here", key.name);
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place_and_what_was_meant() {
        for (text, at, what, meant) in [
            ("[setup]\ntimeuot = \"5m\"\n", (2, 1), "timeuot", Some("timeout")),
            ("[host-keys]\n  regenrate = \"never\"\n", (2, 3), "regenrate", Some("regenerate")),
            ("# é\n[host_keys]\n", (2, 2), "[host_keys]", Some("host-keys")),
            ("frobnicate = 1\n", (1, 1), "frobnicate", None),
            ("setup = 1\n", (1, 9), "expected", None),
            ("[setup]\ntimeout = \"5 parsecs\"\n", (2, 11), "parsecs", None),
            ("[setup]\ntimeout = \"0s\"\n", (2, 11), "zero", None),
            ("[setup]\ntimeout = \"550000000000y\"\n", (2, 11), "year", None),
            ("[host-keys]\ntypes = [\"dsa\"]\n", (2, 10), "dsa", None),
            ("[host-keys]\ntypes = []\n", (2, 9), "at least one", None),
            ("[host-keys]\nregenerate = \"sometimes\"\n", (2, 14), "sometimes", None),
            ("[local-api]\nread-group = \"a b\"\n", (2, 14), "name of a group", None),
            ("[setup]\nshutdown-timeout = \"11m\"\n", (2, 20), "10m", None),
            ("[setup]\non-change = \"later\"\n", (2, 13), "later", None),
            ("[setup]\noutcome-key = \"setup-script.x\"\n", (2, 15), "meaning of its own", None),
            ("[setup\n", (1, 7), "", None),
        ] {
            let fault = parse(text).expect_err(text);
            assert_eq!((fault.at, fault.suggestion.as_deref()), (Some(at), meant), "{text}: {fault:?}");
            assert!(fault.what.contains(what), "{text}: {fault:?}");
        }
    }
}

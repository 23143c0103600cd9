//! Applies the text of one configuration file to [`Settings`]: the complete file, or nothing of it if it has an error. Pure.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::settings::Settings;
use crate::settings::error::FileFault;
use crate::settings::keys::{KEYS, Key};
use crate::settings::value::InvalidValue;
use crate::util::printable;
use crate::util::suggest::nearest;

/// The settings after this text was applied to them, and the keys that it sets.
///
/// # Errors
/// The first error in the text.
pub(crate) fn apply(text: &str, settings: &Settings) -> Result<(Settings, Vec<&'static Key>), FileFault> {
    let sections = DeTable::parse(text).map_err(|why| {
        FileFault::new(text, why.span().map(|span| span.start), why.message().trim_end().replace('\n', ", "))
    })?;
    let (mut settings, mut set) = (settings.clone(), Vec::new());
    for (section, value) in sections.get_ref() {
        let name: &str = section.get_ref();
        let keys = || KEYS.iter().filter(|key| key.section == name);
        if keys().next().is_none() {
            let names = KEYS.iter().map(|key| key.section);
            return Err(unknown(
                text,
                section,
                format!("unknown section [{}]", printable::name(name)),
                nearest(name, names),
            ));
        }
        let DeValue::Table(table) = value.get_ref() else {
            let wrong = InvalidValue::expected("a section", value);
            return Err(FileFault::new(text, Some(wrong.at), wrong.what));
        };
        for (key_name, value) in table {
            let Some(key) = keys().find(|key| key.name == key_name.get_ref()) else {
                let what = format!("unknown setting `{}` in [{name}]", printable::name(key_name.get_ref()));
                let meant = nearest(key_name.get_ref(), keys().map(|key| key.name));
                return Err(unknown(text, key_name, what, meant));
            };
            (key.set)(&mut settings, value)
                .map_err(|wrong| FileFault::new(text, Some(wrong.at), wrong.what))?;
            set.push(key);
        }
    }
    Ok((settings, set))
}

/// The error for an unknown name, at the position of the name.
fn unknown<T>(text: &str, name: &Spanned<T>, what: String, meant: Option<&str>) -> FileFault {
    FileFault { suggestion: meant.map(str::to_owned), ..FileFault::new(text, Some(name.span().start), what) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::account_keys::manage::{Manage, WriteTo};
    use crate::host_keys::key::key_type::KeyType;
    use crate::metadata::api::state_detail::StateDetail;
    use crate::metadata::api::user_data_key::UserDataKey;
    use crate::metadata::transport::exchange::Limits;
    use crate::scripts::model::settings::{OnChange, SetupSettings};
    use crate::system::console::Console;
    use crate::system::platform::Vendor;

    fn parse(text: &str) -> Result<Settings, FileFault> {
        apply(text, &Settings::default()).map(|(settings, _)| settings)
    }

    #[test]
    fn empty_file_means_the_defaults() {
        for text in ["", "[host-keys]\n[local-api]\n[metadata]\n[setup]\n"] {
            assert_eq!(parse(text), Ok(Settings::default()));
        }
    }

    #[test]
    fn every_key_can_be_set() {
        let text = "[platform]\nvendor = \"QEMU\"\n[host-keys]\ntypes = [\"rsa\", \"ed25519\", \"rsa\"]\nregenerate = \"never\"\n[local-api]\nread-group = \"adm\"\nwrite-group = \"sudo\"\n[metadata]\nconnect-timeout = \"1s\"\nheaders-timeout = \"2s\"\nbody-timeout = \"3s\"\nwhole-timeout = \"4s\"\nlook-again = \"1h\"\n[setup]\ntimeout = \"5m\"\nshutdown-timeout = \"2m\"\nnetwork-wait = \"0s\"\non-change = \"now\"\noutcome-key = \"ready\"\n[console]\nenabled = false\n[hostname]\nmanage = true\n[ssh-keys]\nmanage = \"live\"\nwrite-to = \"authorized-keys\"\n[signal-state]\nat-boot = \"booted\"\n";
        let seconds = Duration::from_secs;
        let limits = Limits { connect: seconds(1), headers: seconds(2), body: seconds(3), total: seconds(4) };
        let expected = Settings {
            vendor: Vendor::Named("QEMU".to_owned()),
            key_types: vec![KeyType::Ed25519, KeyType::Rsa],
            regenerate: false,
            read_group: Some("adm".to_owned()),
            write_group: Some("sudo".to_owned()),
            limits,
            check_interval: seconds(3600),
            setup: SetupSettings {
                timeout: seconds(300),
                shutdown_timeout: seconds(120),
                network_wait: seconds(0),
                on_change: OnChange::Now,
                outcome_key: Some(UserDataKey::new("ready").expect("a valid key")),
            },
            console: Console { enabled: false },
            hostname_managed: true,
            ssh_keys: Manage::Live,
            ssh_keys_place: WriteTo::AuthorizedKeys,
            boot_state: Some(StateDetail::new("booted").expect("a state")),
        };
        let settings = parse(text).expect("a valid text");
        assert_eq!(settings, expected);
        for key in KEYS {
            assert_ne!(
                (key.value)(&settings),
                (key.value)(&Settings::default()),
                "{} is not set here",
                key.name
            );
        }
    }

    #[test]
    fn fault_has_position_text_and_suggestion() {
        for (text, at, what, meant) in [
            ("[setup]\ntimeuot = \"5m\"\n", (2, 1), "timeuot", Some("timeout")),
            ("[host-keys]\n  regenrate = \"never\"\n", (2, 3), "regenrate", Some("regenerate")),
            ("# é\n[host_keys]\n", (2, 2), "[host_keys]", Some("host-keys")),
            ("frobnicate = 1\n", (1, 1), "frobnicate", None),
            ("setup = 1\n", (1, 9), "a section is expected here, not an integer", None),
            ("[[setup]]\n", (1, 1), "a section is expected here, not an array", None),
            ("[setup]\ntimeout = 5\n", (2, 11), "a string is expected here, not an integer", None),
            ("[host-keys]\ntypes = \"rsa\"\n", (2, 9), "a list is expected here, not a string", None),
            ("[host-keys]\ntypes = [true]\n", (2, 10), "a string is expected here, not a boolean", None),
            ("[setup]\ntimeout = \"5m\"\ntimeout = \"6m\"\n", (3, 1), "duplicate", None),
            ("[setup]\ntimeout = \"5 parsecs\"\n", (2, 11), "parsecs", None),
            ("[setup]\ntimeout = \"0s\"\n", (2, 11), "zero", None),
            ("[setup]\ntimeout = \"550000000000y\"\n", (2, 11), "year", None),
            ("[host-keys]\ntypes = [\"dsa\"]\n", (2, 10), "dsa", None),
            ("[host-keys]\ntypes = []\n", (2, 9), "at least one", None),
            ("[host-keys]\nregenerate = \"sometimes\"\n", (2, 14), "sometimes", None),
            ("[local-api]\nread-group = \"a b\"\n", (2, 14), "name of a group", None),
            ("[platform]\nvendor = \" Scaleway\"\n", (2, 10), "blanks at its ends", None),
            ("[platform]\nvendor = true\n", (2, 10), "a string is expected", None),
            ("[setup]\nshutdown-timeout = \"11m\"\n", (2, 20), "10m", None),
            ("[setup]\non-change = \"later\"\n", (2, 13), "later", None),
            ("[setup]\noutcome-key = \"setup-script.x\"\n", (2, 15), "already used", None),
            ("[console]\nenabled = \"yes\"\n", (2, 11), "true or false is expected here, not a string", None),
            ("[console]\nenable = true\n", (2, 1), "enable", Some("enabled")),
            ("[setup\n", (1, 7), "", None),
        ] {
            let fault = parse(text).expect_err(text);
            assert_eq!((fault.at, fault.suggestion.as_deref()), (Some(at), meant), "{text}: {fault:?}");
            assert!(fault.what.contains(what), "{text}: {fault:?}");
        }
    }
}

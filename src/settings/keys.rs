//! The table of all keys: the description, the value as TOML, and the setter of each key. The help, the manual page, `config show`
//! and the suggestions for misspelt keys use this table. Pure.

use std::time::Duration;

use crate::account_keys::manage::{Manage, WriteTo};
use crate::metadata::api::state_detail::StateDetail;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::settings::Settings;
use crate::settings::value::{self, InvalidValue, TomlValue};
use crate::system::platform::Vendor;
use crate::util::printable;

/// One key of the configuration.
pub struct Key {
    /// The TOML table that contains it, such as `host-keys`.
    pub section: &'static str,
    /// The name of the key.
    pub name: &'static str,
    /// The description, for the help and the manual page.
    pub about: &'static str,
    /// The value of the key in these settings, as TOML.
    pub value: fn(&Settings) -> String,
    /// Validates a value from a file and sets it.
    pub(crate) set: fn(&mut Settings, &TomlValue<'_>) -> Result<(), InvalidValue>,
}

/// All keys, those of one section together.
pub const KEYS: &[Key] = &[
    Key {
        section: "platform",
        name: "vendor",
        about: "The DMI system vendor of the machines on which the metadata service is trusted; the token `scaleway` on the kernel command line is accepted, too. Empty: any machine, so whoever answers at the service's address runs scripts as root.",
        value: |settings| match &settings.vendor {
            Vendor::Any => text(""),
            Vendor::Named(name) => text(name),
        },
        set: |settings, given| {
            settings.vendor = value::vendor(given)?;
            Ok(())
        },
    },
    Key {
        section: "host-keys",
        name: "types",
        about: "Which of the host keys in sshd's configuration the machine must have: \"ecdsa\", \"ed25519\", \"rsa\". All three together mean every type that sshd's configuration names and ssh-keygen can make. If the configuration names none of them, all keys that it names are made.",
        value: |settings| {
            let names: Vec<_> = settings.key_types.iter().map(|key_type| format!("\"{key_type}\"")).collect();
            format!("[{}]", names.join(", "))
        },
        set: |settings, given| {
            settings.key_types = value::key_types(given)?;
            Ok(())
        },
    },
    Key {
        section: "host-keys",
        name: "regenerate",
        about: "If this disk now belongs to another Instance (a clone, a restored backup): \"new-instance\" makes new host keys, \"never\" keeps them.",
        value: |settings| text(if settings.regenerate { "new-instance" } else { "never" }),
        set: |settings, given| {
            settings.regenerate =
                value::one_of(given, [("new-instance".to_owned(), true), ("never".to_owned(), false)])?;
            Ok(())
        },
    },
    Key {
        section: "local-api",
        name: "read-group",
        about: "Besides root, the members of this group may ask the daemon: the status, metadata and user data. Empty: nobody.",
        value: |settings| text(settings.read_group.as_deref().unwrap_or_default()),
        set: |settings, given| {
            settings.read_group = value::group(given)?;
            Ok(())
        },
    },
    Key {
        section: "local-api",
        name: "write-group",
        about: "The members of this group may also set and delete user data: that is, choose what runs as root. Empty: nobody.",
        value: |settings| text(settings.write_group.as_deref().unwrap_or_default()),
        set: |settings, given| {
            settings.write_group = value::group(given)?;
            Ok(())
        },
    },
    Key {
        section: "metadata",
        name: "connect-timeout",
        about: "The time limit for opening a connection.",
        value: |settings| duration(settings.limits.connect),
        set: |settings, given| {
            settings.limits.connect = value::positive_duration(given)?;
            Ok(())
        },
    },
    Key {
        section: "metadata",
        name: "headers-timeout",
        about: "The time limit from the request to the headers of the answer.",
        value: |settings| duration(settings.limits.headers),
        set: |settings, given| {
            settings.limits.headers = value::positive_duration(given)?;
            Ok(())
        },
    },
    Key {
        section: "metadata",
        name: "body-timeout",
        about: "The time limit from the headers to the end of the answer.",
        value: |settings| duration(settings.limits.body),
        set: |settings, given| {
            settings.limits.body = value::positive_duration(given)?;
            Ok(())
        },
    },
    Key {
        section: "metadata",
        name: "whole-timeout",
        about: "The time limit for the complete request, including a second try.",
        value: |settings| duration(settings.limits.total),
        set: |settings, given| {
            settings.limits.total = value::positive_duration(given)?;
            Ok(())
        },
    },
    Key {
        section: "metadata",
        name: "look-again",
        about: "The longest time between two checks of the published value while they succeed. Each wait is drawn at random, usually from 73 % of it on.",
        value: |settings| duration(settings.check_interval),
        set: |settings, given| {
            settings.check_interval = value::positive_duration(given)?;
            Ok(())
        },
    },
    Key {
        section: "setup",
        name: "timeout",
        about: "The time limit for one attempt of a script, unless the script sets its own.",
        value: |settings| duration(settings.setup.timeout),
        set: |settings, given| {
            settings.setup.timeout = value::positive_duration(given)?;
            Ok(())
        },
    },
    Key {
        section: "setup",
        name: "shutdown-timeout",
        about: "The time limit for one attempt of a shutdown script, and for all shutdown scripts together: at most 10m.",
        value: |settings| duration(settings.setup.shutdown_timeout),
        set: |settings, given| {
            settings.setup.shutdown_timeout = value::shutdown_timeout(given)?;
            Ok(())
        },
    },
    Key {
        section: "setup",
        name: "network-wait",
        about: "How long the first script of a boot waits for the network (network-online.target, or a default route and a resolver that answers); then it starts anyway. \"0s\": it does not wait.",
        value: |settings| duration(settings.setup.network_wait),
        set: |settings, given| {
            settings.setup.network_wait = value::duration_or_zero(given)?;
            Ok(())
        },
    },
    Key {
        section: "setup",
        name: "on-change",
        about: "When a setup script whose content changed is run: at the \"next-boot\", \"now\" (when the daemon sees it), or \"never\".",
        value: |settings| text(settings.setup.on_change.as_str()),
        set: |settings, given| {
            settings.setup.on_change = value::on_change(given)?;
            Ok(())
        },
    },
    Key {
        section: "setup",
        name: "outcome-key",
        about: "The user data key under which a boot's outcome is published. Empty: none.",
        value: |settings| text(settings.setup.outcome_key.as_ref().map_or("", UserDataKey::as_str)),
        set: |settings, given| {
            settings.setup.outcome_key = value::outcome_key(given)?;
            Ok(())
        },
    },
    Key {
        section: "console",
        name: "enabled",
        about: "Whether the start and the outcome of each script, and the fingerprints of the host keys, are written to /dev/console, for the owner who reads it from outside.",
        value: |settings| settings.console.enabled.to_string(),
        set: |settings, given| {
            settings.console.enabled = value::boolean(given)?;
            Ok(())
        },
    },
    Key {
        section: "hostname",
        name: "manage",
        about: "Whether the hostname in the metadata becomes the machine's once in each boot, and is named in /etc/hosts. Where cloud-init is enabled, it is left to cloud-init.",
        value: |settings| settings.hostname_managed.to_string(),
        set: |settings, given| {
            settings.hostname_managed = value::boolean(given)?;
            Ok(())
        },
    },
    Key {
        section: "ssh-keys",
        name: "manage",
        about: "Whether the agent brings the keys with which root may log in up to date, from the account, from tags and from /root/.ssh/instance_keys: \"off\", \"boot\" (once in each boot), or \"live\" (within a minute, too).",
        value: |settings| text(settings.ssh_keys.name()),
        set: |settings, given| {
            settings.ssh_keys =
                value::one_of(given, Manage::NAMES.map(|(name, manage)| (name.to_owned(), manage)))?;
            Ok(())
        },
    },
    Key {
        section: "ssh-keys",
        name: "write-to",
        about: "Where these keys are written: \"own-file\", a file of the agent that sshd reads besides the others, or \"authorized-keys\", a marked block in root's own file, for an sshd whose configuration does not include the agent's.",
        value: |settings| text(settings.ssh_keys_place.name()),
        set: |settings, given| {
            settings.ssh_keys_place =
                value::one_of(given, WriteTo::NAMES.map(|(name, place)| (name.to_owned(), place)))?;
            Ok(())
        },
    },
    Key {
        section: "signal-state",
        name: "at-boot",
        about: "The state that Scaleway is told once in each boot, as soon as the metadata service answers, such as \"booted\". Empty: none.",
        value: |settings| text(&settings.boot_state.as_ref().map(StateDetail::to_string).unwrap_or_default()),
        set: |settings, given| {
            settings.boot_state = value::state(given)?;
            Ok(())
        },
    },
];

fn duration(duration: Duration) -> String {
    text(&humantime::format_duration(duration).to_string())
}

/// A TOML string. A JSON string is a valid TOML string; the other unprintable characters get an escape of TOML.
fn text(value: &str) -> String {
    let mut toml = String::new();
    for c in serde_json::Value::from(value).to_string().chars() {
        if printable::is_shown(c) {
            toml.push(c);
        } else {
            toml.push_str(&format!("\\U{:08X}", u32::from(c)));
        }
    }
    toml
}

//! `scw-agent host-keys …`

use std::path::Path;

use super::agent::print;
use super::exit::Exit;
use super::help::AGENT;
use crate::host_keys::{self, KeyType};
use crate::log;
use crate::settings::{self, Settings};

/// The command of `scw-agent-hostkeys.service`. It must do its work whatever the configuration says: without keys there is no sshd.
pub(super) fn ensure() -> Exit {
    log::start("scw-agent-hostkeys");
    let settings = Settings::load_or_default(Path::new(settings::FILE));
    let done = host_keys::ensure(Path::new(host_keys::FOLDER), &settings.key_types);
    for (verb, types) in
        [("kept", &done.kept), ("made", &done.made), ("derived the public key of", &done.derived)]
    {
        if !types.is_empty() {
            let names: Vec<_> = types.iter().map(KeyType::to_string).collect();
            tracing::info!("{verb} {}", names.join(", "));
        }
    }
    for (key_type, why) in &done.failed {
        tracing::error!("{key_type}: {why}");
    }
    if done.failed.is_empty() { Exit::Success } else { Exit::Failure }
}

pub(super) fn show(json: bool) -> Exit {
    let keys = match host_keys::public_keys(Path::new(host_keys::FOLDER)) {
        Ok(keys) => keys,
        Err(why) => {
            return AGENT.failed(&format!("{} cannot be listed: {why}", host_keys::FOLDER), Exit::Failure);
        }
    };
    for (path, why) in &keys.bad {
        eprintln!("scw-agent: {} is no public key: {why}", path.display());
    }
    if json {
        let list: Vec<_> = keys.good.iter().map(|(path, key)| serde_json::json!({
            "file": path, "type": key.type_name(), "bits": key.bits, "fingerprint": key.fingerprint(), "comment": key.comment,
        })).collect();
        return print(&format!("{}\n", serde_json::Value::Array(list)));
    }
    match host_keys::published_value(keys.good.iter().map(|(_, key)| key)) {
        Some(value) => print(&format!("{}\n", value.as_str())),
        None => AGENT.failed(&format!("there are no host keys in {}", host_keys::FOLDER), Exit::NotFound),
    }
}

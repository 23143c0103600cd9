//! `scw-agent host-keys …`

use std::path::{Path, PathBuf};

use super::exit::Exit;
use super::help::AGENT;
use super::process::print;
use crate::host_keys::{self, KeyType, PublicKey, role};
use crate::identity::Verdict;
use crate::log;
use crate::settings::{self, Settings};

/// The command of `scw-agent-hostkeys.service`. It must do its work whatever the configuration says: without keys there is no sshd.
pub(super) fn ensure() -> Exit {
    log::start("scw-agent-hostkeys");
    let settings = Settings::load_or_default(Path::new(settings::FILE));
    let done = role::run(&role::Places::default(), &settings.key_types, settings.regenerate);
    tell_whose(&done, settings.regenerate);
    for trouble in &done.troubles {
        tracing::error!("{trouble}");
    }
    let well = done.troubles.is_empty();
    let done = done.ensured;
    for (verb, types) in [("kept", &done.kept), ("made", &done.made)] {
        if !types.is_empty() {
            let names: Vec<_> = types.iter().map(KeyType::to_string).collect();
            tracing::info!("{verb} {}", names.join(", "));
        }
    }
    for (key_type, mending) in &done.mended {
        tracing::warn!("{key_type}: the key is kept; {mending}");
    }
    for path in &done.removed {
        tracing::warn!("removed {}", path.display());
    }
    for path in &done.set_aside {
        tracing::warn!("what was no key is kept as {}", path.display());
    }
    for (key_type, why) in &done.failed {
        tracing::error!("{key_type}: {why}");
    }
    let denied = |(_, why): &(KeyType, host_keys::EnsureError)| why.is_permission();
    if !done.failed.is_empty() && done.failed.iter().all(denied) {
        return Exit::NotPermitted;
    }
    if done.failed.is_empty() && well { Exit::Success } else { Exit::Failure }
}

fn tell_whose(done: &role::Done, regenerate: bool) {
    match &done.verdict {
        Verdict::Same | Verdict::Unknown => {}
        Verdict::Another(instance) if regenerate => {
            let old =
                done.old_keys.as_ref().map(|path| format!("; the old public keys are in {}", path.display()));
            tracing::warn!(SCW_INSTANCE_ID = %instance, "this disk is another Instance's now, {instance}: its host keys are made anew{}", old.unwrap_or_default());
        }
        Verdict::Another(instance) => {
            tracing::warn!(SCW_INSTANCE_ID = %instance, "this disk is another Instance's now, {instance}; its host keys stay, as configured");
        }
        Verdict::Conflict(instance) => tracing::error!(
            "the metadata service names another Instance, {instance}, and the hypervisor the one that was recorded; the host keys stay"
        ),
    }
}

pub(super) fn show(json: bool) -> Exit {
    with_keys(|keys| {
        if json {
            let list: Vec<_> = keys.iter().map(|(path, key)| in_json(path, key)).collect();
            return format!("{}\n", serde_json::Value::Array(list));
        }
        let value = host_keys::published_value(keys.iter().map(|(_, key)| key));
        value.map(|value| format!("{}\n", value.as_str())).unwrap_or_default()
    })
}

/// Lines for a client's known_hosts. A name that a port belongs to is written `[NAME]:PORT`.
pub(super) fn known_hosts(name: Option<&str>) -> Exit {
    let name = name.map_or_else(host_name, str::to_owned);
    with_keys(|keys| keys.iter().map(|(_, key)| format!("{name} {}\n", key.key_text())).collect())
}

/// Records for a zone file.
pub(super) fn sshfp(name: Option<&str>) -> Exit {
    let name = name.map_or_else(host_name, str::to_owned);
    with_keys(|keys| keys.iter().map(|(_, key)| format!("{name} IN SSHFP {}\n", key.sshfp())).collect())
}

fn host_name() -> String {
    nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned()
}

fn in_json(path: &Path, key: &PublicKey) -> serde_json::Value {
    serde_json::json!({
        "file": path,
        "type": key.type_name(),
        "bits": key.bits,
        "fingerprint": key.fingerprint(),
        "comment": key.comment,
    })
}

fn with_keys(text: impl FnOnce(&[(PathBuf, PublicKey)]) -> String) -> Exit {
    let keys = match host_keys::public_keys(Path::new(host_keys::FOLDER)) {
        Ok(keys) => keys,
        Err(why) => {
            return AGENT.failed(&format!("{} cannot be listed: {why}", host_keys::FOLDER), Exit::Failure);
        }
    };
    for (path, why) in &keys.bad {
        eprintln!("scw-agent: {} is no public key: {why}", path.display());
    }
    if keys.good.is_empty() {
        return AGENT.failed(&format!("there are no host keys in {}", host_keys::FOLDER), Exit::NotFound);
    }
    print(&text(&keys.good))
}

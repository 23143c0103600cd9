//! Keeps the user data key `ssh-host-fingerprints` up to date (invariants H3, H4). It compares the served
//! keys with the published value, writes only when the two differ, and reads the value back after writing. It
//! publishes only if the served keys are confirmed to be this Instance's. The rounds call it from time to
//! time, since other programs delete the key (Terraform, Ansible) or replace the host keys. Whether the value is
//! published is concluded from the service's answers, in their order, by
//! [`FingerprintChecks`]. Where no OpenSSH server is enabled, it publishes nothing, and deletes a published value that
//! lists this machine's keys.

use hyper::body::Bytes;

use crate::daemon::fingerprint_checks::FingerprintChecks;
use crate::daemon::shared_status::SharedStatus;
use crate::host_keys::paths::HostKeyPaths;
use crate::host_keys::published_value::{Published, published_value};
use crate::host_keys::sshd::server::SshServer;
use crate::host_keys::store::served::LocalKeys;
use crate::metadata::api::refusal::Refusal;
use crate::metadata::api::response::Ask;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::metadata::error::MetadataError;
use crate::util::events;

/// Checks the published value once, and updates it if the keys are confirmed to be this Instance's. Returns
/// whether the host-keys units have written which keys sshd serves.
pub(crate) async fn update(
    api: &mut impl Ask,
    shared_status: &SharedStatus,
    checks: &FingerprintChecks,
    paths: &HostKeyPaths,
) -> Result<bool, MetadataError> {
    let Some(keys) = report_right_value(shared_status, checks, paths) else { return Ok(false) };
    match keys {
        KeysToPublish::Value(value) => publish(api, shared_status, &value).await?,
        KeysToPublish::NotEnabled(keys) => withdraw(api, shared_status, &keys).await?,
        KeysToPublish::NotConfirmed => shared_status.set_keys_not_confirmed(),
        KeysToPublish::NoKeys => shared_status.set_no_keys(),
    }
    Ok(true)
}

/// What should be published.
pub(crate) enum KeysToPublish {
    Value(Published),
    /// Nothing, and a published value that lists these keys is deleted: no OpenSSH server is enabled.
    NotEnabled(LocalKeys),
    /// Nothing: the keys are not confirmed to be this Instance's.
    NotConfirmed,
    /// Nothing: there are no keys.
    NoKeys,
}

/// Reads the keys, and puts them into the status. A value of other keys is not known to be published from then on. Returns `None` as
/// [`report_keys`] does.
pub(crate) fn report_right_value(
    shared_status: &SharedStatus,
    checks: &FingerprintChecks,
    paths: &HostKeyPaths,
) -> Option<KeysToPublish> {
    let keys = report_keys(shared_status, paths).map(|keys| {
        let status = shared_status.read();
        let instance = status.instance.map(|instance| instance.id);
        let is_confirmed = keys.instance == instance || keys.served().next().is_none();
        match published_value(keys.served()) {
            _ if status.ssh_server == SshServer::NotEnabled => KeysToPublish::NotEnabled(keys),
            _ if !is_confirmed => KeysToPublish::NotConfirmed,
            Some(value) => KeysToPublish::Value(value),
            None => KeysToPublish::NoKeys,
        }
    });
    let right = if let Some(KeysToPublish::Value(value)) = &keys { Some(value) } else { None };
    checks.set_right_value(right);
    keys
}

/// Reads the published value, and writes it if it differs.
async fn publish(
    api: &mut impl Ask,
    shared_status: &SharedStatus,
    value: &Published,
) -> Result<(), MetadataError> {
    let key = UserDataKey::fingerprints();
    // Usually nothing has changed, so this is the only request for a while.
    let stored = if shared_status.is_published() { api.get_last(&key).await? } else { api.get(&key).await? };
    if !is_equal(stored.as_ref(), value) {
        write_and_verify(api, &key, value).await?;
        tracing::info!(
            MESSAGE_ID = events::FINGERPRINTS_PUBLISHED,
            "published the fingerprints of {} host keys",
            value.as_str().lines().count()
        );
    }
    Ok(())
}

fn is_equal(stored: Option<&Bytes>, value: &Published) -> bool {
    stored.is_some_and(|stored| value.has_same_lines(stored))
}

/// Deletes the published value if each of its fingerprints is that of a host key of this machine, because
/// nobody serves these keys (invariant H3). Any other value was written by somebody else, for the server that
/// runs.
async fn withdraw(
    api: &mut impl Ask,
    shared_status: &SharedStatus,
    keys: &LocalKeys,
) -> Result<(), MetadataError> {
    let key = UserDataKey::fingerprints();
    let value = api.get_last(&key).await?.unwrap_or_default();
    let value = String::from_utf8_lossy(&value).into_owned();
    let own: Vec<_> = keys.keys.iter().filter_map(|local| Some(local.key.as_ref()?.fingerprint())).collect();
    let published: Vec<_> = value.split_whitespace().filter(|word| word.starts_with("SHA256:")).collect();
    if !published.is_empty() && published.iter().all(|published| own.iter().any(|own| own == published)) {
        api.delete(&key).await?;
        tracing::info!("deleted the published fingerprints, since no OpenSSH server is enabled");
    }
    shared_status.set_withdrawn();
    Ok(())
}

/// Reads the served keys that the host-keys units wrote, and puts them into the status. Returns `None`
/// without that file: then nothing is known about the keys.
pub(crate) fn report_keys(shared_status: &SharedStatus, paths: &HostKeyPaths) -> Option<LocalKeys> {
    let server = SshServer::read(&paths.root);
    shared_status.set_ssh_server(server);
    let mut keys = LocalKeys::read(&paths.served)?;
    if server == SshServer::NotEnabled {
        keys.mark_not_served();
    }
    shared_status.set_host_keys(&keys);
    Some(keys)
}

/// Writes the value and reads it back. Another program may delete the value at that very moment (Terraform
/// does so before it sets its own), so this tries twice.
async fn write_and_verify(
    api: &mut impl Ask,
    key: &UserDataKey,
    value: &Published,
) -> Result<(), MetadataError> {
    for _ in 0..2 {
        api.set(key, Bytes::from(value.as_str().to_owned())).await?;
        if is_equal(api.get(key).await?.as_ref(), value) {
            return Ok(());
        }
    }
    let why = "the fingerprints read back differ from those written".to_owned();
    Err(Refusal::Malformed(why).into())
}

//! Keeping the user data key `ssh-host-fingerprints` true (laws H3, H4): it looks at the keys and at what is
//! published, writes only when the two differ, reads back what it wrote, and looks again from time to time, since others
//! delete the key (Terraform, Ansible) or remake the host keys. Where no OpenSSH server is enabled, it publishes nothing, and deletes the value
//! that tells this machine's keys.

use crate::host_keys::published_value::published_value;
use hyper::body::Bytes;

use crate::daemon::shared_status::SharedStatus;
use crate::host_keys::paths::HostKeyPaths;
use crate::host_keys::published_value::Published;
use crate::host_keys::sshd::server::SshServer;
use crate::host_keys::store::served::ServedKeys;
use crate::metadata::api::refusal::Refusal;
use crate::metadata::api::response::Ask;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::metadata::error::MetadataError;
use crate::util::events;

/// One look: afterwards what is published is what the keys say, or there is an error. The keys of another Instance, and keys of
/// which that is not known, are published nowhere. Returns whether root's units have written which keys sshd serves.
pub(crate) async fn look(
    api: &mut impl Ask,
    board: &SharedStatus,
    places: &HostKeyPaths,
) -> Result<bool, MetadataError> {
    let Some(keys) = show_keys(board, places) else { return Ok(false) };
    if board.read().ssh_server == SshServer::NotEnabled {
        withdraw(api, board, &keys).await?;
        return Ok(true);
    }
    if keys.served().next().is_some() && keys.instance != board.read().instance.map(|instance| instance.id) {
        board.keys_not_confirmed();
        return Ok(true);
    }
    let Some(value) = published_value(keys.served()) else {
        board.no_keys();
        return Ok(true);
    };
    let key = UserDataKey::fingerprints();
    let is_there = |found: Option<Bytes>| found.is_some_and(|found| found == value.as_str());
    if !is_there(api.get(&key).await?) {
        store(api, &key, &value, is_there).await?;
        tracing::info!(
            MESSAGE_ID = events::FINGERPRINTS_PUBLISHED,
            "published the fingerprints of {} host keys",
            keys.served().count()
        );
    }
    board.published();
    Ok(true)
}

/// Deletes the published value where each of its fingerprints is that of a host key of this machine: nobody serves these keys (invariant H3).
/// Any other value was written by somebody else, for the server that runs.
async fn withdraw(api: &mut impl Ask, board: &SharedStatus, keys: &ServedKeys) -> Result<(), MetadataError> {
    let key = UserDataKey::fingerprints();
    let value = api.get(&key).await?.unwrap_or_default();
    let value = String::from_utf8_lossy(&value).into_owned();
    let ours: Vec<_> = keys.keys.iter().filter_map(|local| Some(local.key.as_ref()?.fingerprint())).collect();
    let told: Vec<_> = value.split_whitespace().filter(|word| word.starts_with("SHA256:")).collect();
    if !told.is_empty() && told.iter().all(|told| ours.iter().any(|ours| ours == told)) {
        api.delete(&key).await?;
        tracing::info!("deleted the published fingerprints, since no OpenSSH server is enabled");
    }
    board.withdrawn();
    Ok(())
}

/// Reads what root's units wrote of the host keys, and shows them on the board. Without it, nothing is known of them.
pub(crate) fn show_keys(board: &SharedStatus, places: &HostKeyPaths) -> Option<ServedKeys> {
    let server = SshServer::look(&places.root);
    board.ssh_server(server);
    let mut keys = ServedKeys::read(&places.served)?;
    if server == SshServer::NotEnabled {
        keys.none_served();
    }
    board.host_keys(&keys);
    Some(keys)
}

/// Writes, and reads back. Somebody may delete the value at that very moment (Terraform does it before it sets its own): once more, then.
async fn store(
    api: &mut impl Ask,
    key: &UserDataKey,
    value: &Published,
    is_there: impl Fn(Option<Bytes>) -> bool,
) -> Result<(), MetadataError> {
    for _ in 0..2 {
        api.set(key, Bytes::from(value.as_str().to_owned())).await?;
        if is_there(api.get(key).await?) {
            return Ok(());
        }
    }
    let why = "the fingerprints were stored, and read back they were others".to_owned();
    Err(Refusal::Malformed(why).into())
}

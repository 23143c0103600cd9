//! Keeping the user data key `ssh-host-fingerprints` true (laws H3, H4): it looks at the keys and at what is
//! published, writes only when the two differ, reads back what it wrote, and looks again from time to time, since others
//! delete the key (Terraform, Ansible) or remake the host keys.

use hyper::body::Bytes;

use super::board::Board;
use crate::events;
use crate::host_keys::{self, Places, PublicKeys, Published};
use crate::metadata::{Ask, MetadataError, Refusal, UserDataKey};

/// One look: afterwards what is published is what the keys say, or there is an error.
pub(super) async fn look(api: &mut impl Ask, board: &Board, places: &Places) -> Result<(), MetadataError> {
    let keys = show_keys(board, places);
    let Some(value) = host_keys::published_value(keys.served()) else {
        board.no_keys();
        return Ok(());
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
    Ok(())
}

/// Reads the machine's public keys, and shows them on the board.
pub(super) fn show_keys(board: &Board, places: &Places) -> PublicKeys {
    let served = host_keys::known_served(places);
    let keys = host_keys::public_keys(&places.keys, &served).unwrap_or_else(|why| {
        tracing::error!("the host keys in {} cannot be listed: {why}", places.keys.display());
        PublicKeys::default()
    });
    board.host_keys(&keys);
    keys
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

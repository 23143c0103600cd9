//! Keeping the user data key `ssh-host-fingerprints` true (laws H3, H4): it looks at the keys and at what is
//! published, writes only when the two differ, reads back what it wrote, and looks again from time to time, since others
//! delete the key (Terraform, Ansible) or remake the host keys.

use std::path::Path;

use hyper::body::Bytes;

use super::board::Board;
use crate::host_keys;
use crate::metadata::{Ask, MetadataError, Refusal, UserDataKey};

/// One look: afterwards what is published is what the keys say, or there is an error.
pub(super) async fn look(api: &mut impl Ask, board: &Board, folder: &Path) -> Result<(), MetadataError> {
    let keys = host_keys::public_keys(folder).unwrap_or_else(|why| {
        tracing::error!("the host keys in {} cannot be listed: {why}", folder.display());
        host_keys::PublicKeys::default()
    });
    board.host_keys(&keys);
    let Some(value) = host_keys::published_value(keys.good.iter().map(|(_, key)| key)) else {
        board.no_keys();
        return Ok(());
    };
    let key = UserDataKey::fingerprints();
    let is_there = |found: Option<Bytes>| found.is_some_and(|found| found == value.as_str());
    if !is_there(api.get(&key).await?) {
        api.set(&key, Bytes::from(value.as_str().to_owned())).await?;
        if !is_there(api.get(&key).await?) {
            let why = "the fingerprints were stored, and read back they were others".to_owned();
            return Err(Refusal::Malformed(why).into());
        }
        tracing::info!("published the fingerprints of {} host keys", keys.good.len());
    }
    board.published();
    Ok(())
}

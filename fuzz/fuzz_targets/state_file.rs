//! The agent's own files with any content, as a damaged disk may return it. Invariant D1: a file that can be read does not change when it is
//! written again, and an unreadable file does not look like a first boot.
//!
//! The first byte chooses the file. The remaining bytes are its content.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use scw_agent::host_keys::LocalKeys;
use scw_agent::identity::{self, IdentityError};
use scw_agent::metadata::UserDataKey;
use scw_agent::scripts::{RecordError, Records, Summary};
use scw_agent::status::Status;
use scw_agent_fuzz::folder;

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    match choice % 5 {
        0 => record(bytes),
        1 => identity(bytes),
        2 => served(bytes),
        3 => summary(bytes),
        _ => status(bytes),
    }
});

fn record(bytes: &[u8]) {
    let folder = folder().join("state/setup");
    let records = Records::open(&folder).expect("opened");
    let key = UserDataKey::new("setup-script").expect("a key");
    let path = folder.join("setup-script.json");
    fs::write(&path, bytes).expect("written");
    match records.read(&key) {
        Ok(mut record) => {
            let Some(last) = record.runs.last().cloned() else { return };
            let before = record.clone();
            records.write(&key, &mut record, last).expect("written");
            assert_eq!(records.read(&key).expect("readable"), record);
            if before.runs.len() <= 20 {
                assert_eq!(record, before, "a run was lost or changed");
            }
        }
        Err(RecordError::Unreadable(..)) => {
            records.set_aside(&key).expect("set aside");
            assert!(
                matches!(records.read(&key), Err(RecordError::Unreadable(..))),
                "looks like a first boot"
            );
        }
        Err(why) => panic!("{why}"),
    }
}

fn identity(bytes: &[u8]) {
    let path = folder().join("instance.json");
    fs::write(&path, bytes).expect("written");
    match identity::read(&path) {
        Ok(Some(known)) => {
            identity::write(&path, &known).expect("written");
            assert_eq!(identity::read(&path).expect("readable"), Some(known));
        }
        Err(IdentityError::SetAside(aside, _)) => {
            assert_eq!(fs::read(aside).expect("kept"), bytes);
            assert!(matches!(identity::read(&path), Ok(None)));
        }
        other => panic!("{other:?}"),
    }
}

fn served(bytes: &[u8]) {
    let path = folder().join("served.json");
    fs::write(&path, bytes).expect("written");
    // If the file cannot be read, nothing is published.
    let Some(served) = LocalKeys::read(&path) else { return };
    assert!(served.keys.iter().all(|key| !key.served || key.key.is_some()));
    fs::remove_file(&path).expect("removed");
    served.write(&path).expect("written");
    assert_eq!(LocalKeys::read(&path), Some(served));
}

fn summary(bytes: &[u8]) {
    let path = folder().join("summary.json");
    fs::write(&path, bytes).expect("written");
    let Ok(Some(summary)) = Summary::read(&path) else { return };
    summary.write(&path).expect("written");
    assert_eq!(Summary::read(&path).expect("readable"), Some(summary.clone()));
    assert_eq!(summary.clone().updated_with(&summary).is_success(), summary.is_success());
}

/// Any status that a daemon of another version may send to `scw-agent status`.
fn status(bytes: &[u8]) {
    let Ok(status) = serde_json::from_slice::<Status>(bytes) else { return };
    let again = serde_json::from_slice(&serde_json::to_vec(&status).expect("JSON"));
    assert_eq!(status, again.expect("the same shape"));
    let status = status.with_problems();
    assert!(!status.summary_line().is_empty());
    let _ = status.pending_work();
}

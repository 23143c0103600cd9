//! By which rules the values of this Instance were read when the agent first saw them.
//!
//! The *rules version* is the version of the rules by which the agent finds scripts in a value. A new version of the agent may find scripts
//! that earlier rules skipped. Such a script is skipped until the content of its value changes (invariant S4: an upgrade runs no script).
//!
//! The file is beside the folder of records and is made before that folder. So a disk that has the folder but not this file comes from an
//! earlier version. If the file cannot be read, it is set aside, and the disk is treated like one from an earlier version (invariant D1).

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::metadata::api::instance::InstanceId;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::model::script::Digest;
use crate::util::files;
use crate::util::state_file;

/// The version of the file's format.
const VERSION: u32 = 1;
const FILE_NAME: &str = "setup-values.json";
/// The limit for the file, in bytes.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// The rules version of the agents that did not record it.
pub(crate) const FIRST_RULES_VERSION: u32 = 1;
/// The rules version of this agent. Version 2 also runs parts of those types that cloud-init treats as gzip or as plain text and that
/// version 1 did not know. Increase this number when the agent runs parts that earlier ones skipped, and mark these parts with it.
pub(crate) const RULES_VERSION: u32 = 2;

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RulesFile {
    version: u32,
    /// The Instance that has these values. None until the agent has seen its values.
    instance: Option<InstanceId>,
    values: Vec<ValueRules>,
}

/// By which rules one value is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ValueRules {
    key: String,
    /// The digest of the complete value.
    digest: Digest,
    /// The rules version when this Instance first had the value.
    #[serde(rename = "reading")]
    rules_version: u32,
}

/// The rules versions of this Instance's values.
#[derive(Debug)]
pub(crate) struct RulesVersions {
    path: PathBuf,
    /// The content of the file, if there is one.
    stored: Option<RulesFile>,
    /// The content that the file is to have.
    current: RulesFile,
    /// The rules version of this agent.
    own_version: u32,
    /// The rules version of a value whose key is not in the file.
    version_of_others: u32,
}

/// Makes the file if this disk has neither it nor a folder of records. Must be called before that folder is made.
pub(crate) fn mark_new_disk(records: &Path) -> io::Result<()> {
    let path = path(records);
    if path.exists() || records.exists() {
        return Ok(());
    }
    files::create_private_folder(path.parent().unwrap_or(Path::new("/")))?;
    match store(&path, &RulesFile { version: VERSION, instance: None, values: Vec::new() }) {
        // Another runner writes the same file at this moment.
        Err(why) if matches!(why.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => Ok(()),
        stored => stored,
    }
}

/// The path of the file, beside the folder of records.
fn path(records: &Path) -> PathBuf {
    records.with_file_name(FILE_NAME)
}

fn store(path: &Path, file: &RulesFile) -> io::Result<()> {
    files::write_atomic(path, &serde_json::to_vec(file)?, 0o600)
}

impl RulesVersions {
    /// Loads the rules versions of this Instance's values. `folder` is the folder of records.
    ///
    /// `ran_elsewhere_only` says whether all records on this disk are from other Instances.
    pub(crate) fn load(
        folder: &Path,
        instance: &InstanceId,
        ran_elsewhere_only: impl FnOnce() -> bool,
    ) -> Self {
        Self::load_as(RULES_VERSION, folder, instance, ran_elsewhere_only)
    }

    /// The same for an agent with this rules version.
    fn load_as(
        own_version: u32,
        folder: &Path,
        instance: &InstanceId,
        ran_elsewhere_only: impl FnOnce() -> bool,
    ) -> Self {
        let path = path(folder);
        let stored = read(&path);
        let (values, version_of_others) = match &stored {
            Some(file) if file.instance.as_ref() == Some(instance) => (file.values.clone(), own_version),
            // The file belongs to another Instance or to none yet, so every value is new to this one.
            Some(_) => (Vec::new(), own_version),
            None if ran_elsewhere_only() => (Vec::new(), own_version),
            None => (Vec::new(), FIRST_RULES_VERSION),
        };
        let current = RulesFile { version: VERSION, instance: Some(instance.clone()), values };
        Self { path, stored, current, own_version, version_of_others }
    }

    /// The rules version when this Instance first had this value.
    pub(crate) fn rules_version_of(&mut self, key: &UserDataKey, digest: &Digest) -> u32 {
        let has_key = |value: &ValueRules| value.key == key.as_str();
        let has_value = |value: &&ValueRules| has_key(value) && value.digest == *digest;
        if let Some(same) = self.current.values.iter().find(has_value) {
            return same.rules_version;
        }
        // If the key is in the file, its content has changed.
        let has_changed = self.current.values.iter().any(has_key);
        let rules_version = if has_changed { self.own_version } else { self.version_of_others };
        self.current.values.retain(|value| !has_key(value));
        self.current.values.push(ValueRules {
            key: key.as_str().to_owned(),
            digest: digest.clone(),
            rules_version,
        });
        rules_version
    }

    /// Writes the file if its content differs.
    pub(crate) fn save(&self) {
        if self.stored.as_ref() == Some(&self.current) {
            return;
        }
        if let Err(why) = store(&self.path, &self.current) {
            tracing::error!("cannot write {}: {why}", self.path.display());
        }
    }
}

/// Reads the file. None if there is no file, or if it cannot be read; then it is set aside.
fn read(path: &Path) -> Option<RulesFile> {
    let why = match files::read_bounded(path, MAX_FILE_BYTES) {
        Ok(None) => return None,
        Ok(Some(bytes)) => match state_file::parse(&bytes, VERSION) {
            Ok(file) => return Some(file),
            Err(why) => why,
        },
        Err(why) => why.to_string(),
    };
    let moved = state_file::set_aside(path)
        .map_or_else(|why| why.to_string(), |new_path| new_path.display().to_string());
    tracing::error!("cannot read {} ({why}); moved to {moved}", path.display());
    None
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::scripts::history::record::{Record, Records, Run};
    use crate::util::random;
    use crate::util::time::Moment;

    const NEWER: u32 = 2;

    fn id(last: char) -> InstanceId {
        InstanceId::try_from(format!("daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d8{last}")).expect("a good id")
    }

    /// A disk: the path of the records, in a temporary folder.
    struct Disk(PathBuf);

    impl Disk {
        fn new() -> Self {
            let folder =
                std::env::temp_dir().join(format!("scw-agent-values-{:x}", random::generator().u64(..)));
            files::create_private_folder(&folder).expect("made");
            Self(folder.join("setup"))
        }

        /// A disk as the first version leaves it: the folder, with a record if `ran_for` has an Instance.
        fn of_first_version(ran_for: Option<InstanceId>) -> Self {
            let disk = Self::new();
            files::create_private_folder(&disk.0).expect("made");
            if let Some(instance) = ran_for {
                let run = Run::new(Digest::of(b"x"), instance, Moment::now());
                let key = UserDataKey::new("setup-script").expect("a good key");
                disk.records().write(&key, &mut Record::default(), run).expect("written");
            }
            disk
        }

        fn records(&self) -> Records {
            Records::open(&self.0).expect("opened")
        }

        /// One boot with an agent of this rules version. Returns the rules version of the value.
        fn boot(&self, own_version: u32, instance: &InstanceId, body: &[u8]) -> u32 {
            let records = self.records();
            let mut values = RulesVersions::load_as(own_version, &self.0, instance, || {
                records.ran_elsewhere_only(instance)
            });
            let rules_version = values.rules_version_of(&UserDataKey::cloud_init(), &Digest::of(body));
            values.save();
            rules_version
        }
    }

    impl Drop for Disk {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(self.0.parent().expect("a folder"));
        }
    }

    #[test]
    fn s4_value_keeps_its_reading_until_it_changes() {
        let disk = Disk::new();
        assert_eq!(disk.boot(FIRST_RULES_VERSION, &id('6'), b"one"), FIRST_RULES_VERSION);
        assert_eq!(disk.boot(NEWER, &id('6'), b"one"), FIRST_RULES_VERSION, "an upgrade");
        assert_eq!(disk.boot(NEWER, &id('6'), b"one"), FIRST_RULES_VERSION, "a later boot");
        assert_eq!(disk.boot(NEWER, &id('6'), b"two"), NEWER, "its content changed");
        assert_eq!(disk.boot(NEWER, &id('7'), b"one"), NEWER, "another Instance");
    }

    #[test]
    fn s4_disk_of_first_version_has_the_first_reading() {
        for ran_for in [None, Some(id('6'))] {
            let disk = Disk::of_first_version(ran_for.clone());
            for boot in 1..3 {
                assert_eq!(
                    disk.boot(NEWER, &id('6'), b"one"),
                    FIRST_RULES_VERSION,
                    "{ran_for:?}, boot {boot}"
                );
            }
        }
        assert_eq!(Disk::of_first_version(Some(id('7'))).boot(NEWER, &id('6'), b"one"), NEWER, "a clone");
        assert_eq!(Disk::new().boot(NEWER, &id('6'), b"one"), NEWER, "a new disk");
    }

    #[test]
    fn d1_unreadable_values_file_does_not_make_a_new_disk() {
        let disk = Disk::new();
        assert_eq!(disk.boot(NEWER, &id('6'), b"one"), NEWER);
        let path = path(&disk.0);
        fs::write(&path, "{").expect("truncated");
        assert_eq!(disk.boot(NEWER, &id('6'), b"one"), FIRST_RULES_VERSION);
        let names = fs::read_dir(disk.0.parent().expect("a folder")).expect("listed").flatten();
        let mut names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        assert!(names.any(|name| name.starts_with("setup-values.json.unreadable-")));
    }
}

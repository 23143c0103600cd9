//! How the values of this Instance were read when the agent first saw them.
//!
//! A *reading* is a version of the rules by which the agent finds scripts in a value. A new version of the agent may find scripts that an
//! earlier reading passed over. Such a script stays passed over until the content of its value changes (invariant S4: an upgrade runs no
//! script).
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
/// The reading of the versions that did not record it.
pub(crate) const FIRST_READING: u32 = 1;
/// The reading of this version. Reading 2 also runs parts of those types that cloud-init treats as gzip or as plain text and that reading 1
/// did not know. Increase this number when a version runs parts that earlier ones passed over, and mark these parts with it.
pub(crate) const READING: u32 = 2;

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ReadingsFile {
    version: u32,
    /// The Instance that has these values. None until the agent has seen its values.
    instance: Option<InstanceId>,
    values: Vec<ValueReading>,
}

/// How one value was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ValueReading {
    key: String,
    /// The digest of the complete value.
    digest: Digest,
    /// The reading when this Instance first had the value.
    reading: u32,
}

/// The readings of this Instance's values.
#[derive(Debug)]
pub(crate) struct ValueReadings {
    path: PathBuf,
    /// The content of the file, if there is one.
    stored: Option<ReadingsFile>,
    /// The content that the file is to have.
    current: ReadingsFile,
    /// The reading of this version.
    reading: u32,
    /// The reading of a value whose key is not in the file.
    reading_of_others: u32,
}

/// Makes the file if this disk has neither it nor a folder of records. Must be called before that folder is made.
pub(crate) fn mark_new_disk(records: &Path) -> io::Result<()> {
    let path = path(records);
    if path.exists() || records.exists() {
        return Ok(());
    }
    files::create_private_folder(path.parent().unwrap_or(Path::new("/")))?;
    match store(&path, &ReadingsFile { version: VERSION, instance: None, values: Vec::new() }) {
        // Another runner writes the same file at this moment.
        Err(why) if matches!(why.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => Ok(()),
        stored => stored,
    }
}

/// The path of the file, beside the folder of records.
fn path(records: &Path) -> PathBuf {
    records.with_file_name(FILE_NAME)
}

fn store(path: &Path, file: &ReadingsFile) -> io::Result<()> {
    files::write_atomic(path, &serde_json::to_vec(file)?, 0o600)
}

impl ValueReadings {
    /// Loads the readings of this Instance's values. `folder` is the folder of records.
    ///
    /// `ran_elsewhere_only` says whether all records on this disk are from other Instances.
    pub(crate) fn load(
        folder: &Path,
        instance: &InstanceId,
        ran_elsewhere_only: impl FnOnce() -> bool,
    ) -> Self {
        Self::load_as(READING, folder, instance, ran_elsewhere_only)
    }

    /// The same for a version with this reading.
    fn load_as(
        reading: u32,
        folder: &Path,
        instance: &InstanceId,
        ran_elsewhere_only: impl FnOnce() -> bool,
    ) -> Self {
        let path = path(folder);
        let stored = read(&path);
        let (values, reading_of_others) = match &stored {
            Some(file) if file.instance.as_ref() == Some(instance) => (file.values.clone(), reading),
            // The file belongs to another Instance or to none yet, so every value is new to this one.
            Some(_) => (Vec::new(), reading),
            None if ran_elsewhere_only() => (Vec::new(), reading),
            None => (Vec::new(), FIRST_READING),
        };
        let current = ReadingsFile { version: VERSION, instance: Some(instance.clone()), values };
        Self { path, stored, current, reading, reading_of_others }
    }

    /// The reading when this Instance first had this value.
    pub(crate) fn reading_of(&mut self, key: &UserDataKey, digest: &Digest) -> u32 {
        let has_key = |value: &ValueReading| value.key == key.as_str();
        let has_value = |value: &&ValueReading| has_key(value) && value.digest == *digest;
        if let Some(same) = self.current.values.iter().find(has_value) {
            return same.reading;
        }
        // If the key is in the file, its content has changed.
        let has_changed = self.current.values.iter().any(has_key);
        let reading = if has_changed { self.reading } else { self.reading_of_others };
        self.current.values.retain(|value| !has_key(value));
        self.current.values.push(ValueReading {
            key: key.as_str().to_owned(),
            digest: digest.clone(),
            reading,
        });
        reading
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
fn read(path: &Path) -> Option<ReadingsFile> {
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

        /// One boot with a version of this reading. Returns the reading of the value.
        fn boot(&self, reading: u32, instance: &InstanceId, body: &[u8]) -> u32 {
            let records = self.records();
            let mut values =
                ValueReadings::load_as(reading, &self.0, instance, || records.ran_elsewhere_only(instance));
            let read_as = values.reading_of(&UserDataKey::cloud_init(), &Digest::of(body));
            values.save();
            read_as
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
        assert_eq!(disk.boot(FIRST_READING, &id('6'), b"one"), FIRST_READING);
        assert_eq!(disk.boot(NEWER, &id('6'), b"one"), FIRST_READING, "an upgrade");
        assert_eq!(disk.boot(NEWER, &id('6'), b"one"), FIRST_READING, "a later boot");
        assert_eq!(disk.boot(NEWER, &id('6'), b"two"), NEWER, "its content changed");
        assert_eq!(disk.boot(NEWER, &id('7'), b"one"), NEWER, "another Instance");
    }

    #[test]
    fn s4_disk_of_first_version_has_the_first_reading() {
        for ran_for in [None, Some(id('6'))] {
            let disk = Disk::of_first_version(ran_for.clone());
            for boot in 1..3 {
                assert_eq!(disk.boot(NEWER, &id('6'), b"one"), FIRST_READING, "{ran_for:?}, boot {boot}");
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
        assert_eq!(disk.boot(NEWER, &id('6'), b"one"), FIRST_READING);
        let names = fs::read_dir(disk.0.parent().expect("a folder")).expect("listed").flatten();
        let mut names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        assert!(names.any(|name| name.starts_with("setup-values.json.unreadable-")));
    }
}

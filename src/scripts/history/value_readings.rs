//! Which values were looked at on this disk for this Instance, and how they were read: what an earlier version passed over stays passed over until
//! its content changes (S4: an upgrade runs no script).
//!
//! The file stands beside the folder of records, and is made before that. So a folder without this file is an earlier version's. A file that
//! cannot be read is set aside, and counts as an earlier version's, too (D1).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::metadata::api::instance::InstanceId;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::model::script::Digest;
use crate::util::files;
use crate::util::time::Moment;

const VERSION: u32 = 1;
const NAME: &str = "setup-values.json";
const LARGEST: u64 = 4 * 1024 * 1024;
/// How the versions read values that did not record it.
pub(crate) const FIRST_READING: u32 = 1;
/// How this version reads values: 2 since it runs parts of a type that cloud-init takes for gzip or for plain text, and that the first reading did not
/// know. One that runs what was passed over before has a higher number, and what it runs so is marked with it.
pub(crate) const READING: u32 = 2;

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ReadingsFile {
    version: u32,
    /// Whose values these are; none until they were looked at.
    instance: Option<InstanceId>,
    values: Vec<ValueReading>,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ValueReading {
    key: String,
    /// Of the whole value.
    digest: Digest,
    /// How it was read when this Instance had it for the first time.
    reading: u32,
}

/// What is known of the values of this Instance.
#[derive(Debug)]
pub(crate) struct ValueReadings {
    path: PathBuf,
    /// As it is on the disk; none where there is no such file.
    stored: Option<ReadingsFile>,
    now: ReadingsFile,
    /// How this version reads values.
    reading: u32,
    /// How a value was read that the file does not have.
    unknown: u32,
}

/// Makes the file if this disk has neither it nor a folder of records. To be called before that folder is made.
pub(crate) fn mark_new_disk(records: &Path) -> io::Result<()> {
    let path = path(records);
    if path.exists() || records.exists() {
        return Ok(());
    }
    files::private_folder(path.parent().unwrap_or(Path::new("/")))?;
    match store(&path, &ReadingsFile { version: VERSION, instance: None, values: Vec::new() }) {
        // Another runner writes the same at this moment.
        Err(why) if matches!(why.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => Ok(()),
        stored => stored,
    }
}

/// Beside the folder of records.
fn path(records: &Path) -> PathBuf {
    records.with_file_name(NAME)
}

fn store(path: &Path, file: &ReadingsFile) -> io::Result<()> {
    files::write_whole(path, &serde_json::to_vec(file)?, 0o600)
}

impl ValueReadings {
    /// What is known, for this Instance.
    /// `ran_elsewhere_only` finds out whether all records on this disk are of other Instances.
    pub(crate) fn load(
        folder: &Path,
        instance: &InstanceId,
        ran_elsewhere_only: impl FnOnce() -> bool,
    ) -> Self {
        Self::load_as(READING, folder, instance, ran_elsewhere_only)
    }

    fn load_as(
        reading: u32,
        folder: &Path,
        instance: &InstanceId,
        ran_elsewhere_only: impl FnOnce() -> bool,
    ) -> Self {
        let path = path(folder);
        let stored = read(&path);
        let (values, unknown) = match &stored {
            Some(file) if file.instance.as_ref() == Some(instance) => (file.values.clone(), reading),
            // Another Instance's, or nobody's yet: to this one, every value is new.
            Some(_) => (Vec::new(), reading),
            None if ran_elsewhere_only() => (Vec::new(), reading),
            None => (Vec::new(), FIRST_READING),
        };
        let now = ReadingsFile { version: VERSION, instance: Some(instance.clone()), values };
        Self { path, stored, now, reading, unknown }
    }

    /// How this value was read when this Instance had it for the first time.
    pub(crate) fn reading_of(&mut self, key: &UserDataKey, digest: &Digest) -> u32 {
        let is_it = |value: &ValueReading| value.key == key.as_str();
        if let Some(known) = self.now.values.iter().find(|value| is_it(value) && value.digest == *digest) {
            return known.reading;
        }
        let is_known = self.now.values.iter().any(is_it);
        // A content that changed is new.
        let reading = if is_known { self.reading } else { self.unknown };
        self.now.values.retain(|value| !is_it(value));
        self.now.values.push(ValueReading { key: key.as_str().to_owned(), digest: digest.clone(), reading });
        reading
    }

    /// Writes what is known, if it is not on the disk yet.
    pub(crate) fn save(&self) {
        if self.stored.as_ref() == Some(&self.now) {
            return;
        }
        if let Err(why) = store(&self.path, &self.now) {
            tracing::error!("cannot write {}: {why}", self.path.display());
        }
    }
}

/// The file; none where there is none, or none that can be read: that one is set aside.
fn read(path: &Path) -> Option<ReadingsFile> {
    let why = match files::read_bounded(path, LARGEST) {
        Ok(None) => return None,
        Ok(Some(bytes)) => match serde_json::from_slice::<ReadingsFile>(&bytes) {
            Ok(file) if file.version == VERSION => return Some(file),
            Ok(file) => format!("its version is {}, this program's {VERSION}", file.version),
            Err(why) => why.to_string(),
        },
        Err(why) => why.to_string(),
    };
    let aside = path.with_extension(format!("json.unreadable-{}", Moment::now()));
    let moved = fs::rename(path, &aside).map_or_else(|why| why.to_string(), |()| aside.display().to_string());
    tracing::error!("cannot read {} ({why}); moved to {moved}", path.display());
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::history::record::{Record, Records, Run};
    use crate::util::random;

    const NEWER: u32 = 2;

    fn id(last: char) -> InstanceId {
        InstanceId::try_from(format!("daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d8{last}")).expect("a good id")
    }

    /// A folder of records below a folder of its own.
    struct Disk(PathBuf);

    impl Disk {
        fn new() -> Self {
            let folder =
                std::env::temp_dir().join(format!("scw-agent-values-{:x}", random::generator().u64(..)));
            files::private_folder(&folder).expect("made");
            Self(folder.join("setup"))
        }

        /// As the first version leaves it: the folder, perhaps with a record.
        fn of_first_version(ran_for: Option<InstanceId>) -> Self {
            let disk = Self::new();
            files::private_folder(&disk.0).expect("made");
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

        /// One boot of a version that reads like this.
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
    fn s4_value_stays_as_it_was_read_until_it_changes() {
        let disk = Disk::new();
        assert_eq!(disk.boot(FIRST_READING, &id('6'), b"one"), FIRST_READING);
        assert_eq!(disk.boot(NEWER, &id('6'), b"one"), FIRST_READING, "an upgrade");
        assert_eq!(disk.boot(NEWER, &id('6'), b"one"), FIRST_READING, "a later boot");
        assert_eq!(disk.boot(NEWER, &id('6'), b"two"), NEWER, "its content changed");
        assert_eq!(disk.boot(NEWER, &id('7'), b"one"), NEWER, "another Instance");
    }

    #[test]
    fn s4_disk_of_first_version_has_read_its_values() {
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
    fn d1_values_that_cannot_be_read_are_set_aside_and_no_new_disk() {
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

//! The record of which Instance this disk belongs to: one small file, written whole, last of all (law H2).
//!
//! It has a version. One that cannot be read is set aside, and then nothing is known: that is no new Instance (law D1).

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::metadata::api::instance::InstanceId;
use crate::util::files;
use crate::util::printable;
use crate::util::time::Moment;

const VERSION: u32 = 1;
const LARGEST: u64 = 4096;

/// Whose disk this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The Instance's id, by the metadata.
    pub instance: InstanceId,
    /// Whether the DMI data named it by the same id.
    pub dmi_names_instance: bool,
}

#[derive(Serialize, Deserialize)]
struct IdentityFile {
    version: u32,
    instance: InstanceId,
    dmi_names_instance: bool,
    recorded: Moment,
}

/// A record that cannot be used.
#[derive(Debug)]
pub enum IdentityError {
    /// The file cannot be read or written.
    File(PathBuf, io::Error),
    /// It was not a record, and stands now under this name.
    SetAside(PathBuf, String),
}

/// Reads the record; `None` where there is none.
pub fn read(path: &Path) -> Result<Option<Identity>, IdentityError> {
    let bytes = match files::read_bounded(path, LARGEST) {
        Ok(None) => return Ok(None),
        Ok(Some(bytes)) => bytes,
        Err(why) if why.kind() == io::ErrorKind::FileTooLarge => {
            return Err(set_aside(path, &why.to_string()));
        }
        Err(why) => return Err(IdentityError::File(path.to_owned(), why)),
    };
    match serde_json::from_slice::<IdentityFile>(&bytes) {
        Ok(IdentityFile { version: VERSION, instance, dmi_names_instance, .. }) => {
            Ok(Some(Identity { instance, dmi_names_instance }))
        }
        Ok(record) => {
            Err(set_aside(path, &format!("its version is {}, this program's {VERSION}", record.version)))
        }
        Err(why) => Err(set_aside(path, &printable::json_fault(&why))),
    }
}

/// Writes the record, and makes its folder where it is missing.
pub fn write(path: &Path, identity: &Identity) -> Result<(), IdentityError> {
    let Identity { instance, dmi_names_instance } = identity.clone();
    let record = IdentityFile { version: VERSION, instance, dmi_names_instance, recorded: Moment::now() };
    let written = path.parent().map_or(Ok(()), files::private_folder).and_then(|()| {
        let bytes = serde_json::to_vec_pretty(&record).map_err(io::Error::from)?;
        files::write_whole(path, &bytes, 0o600)
    });
    written.map_err(|why| IdentityError::File(path.to_owned(), why))
}

fn set_aside(path: &Path, why: &str) -> IdentityError {
    let aside = path.with_extension(format!("json.unreadable-{}", Moment::now()));
    match fs::rename(path, &aside) {
        Ok(()) => IdentityError::SetAside(aside, why.to_owned()),
        Err(why) => IdentityError::File(path.to_owned(), why),
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, why) => {
                write!(f, "the record of this Instance, {}, cannot be used: {why}", path.display())
            }
            Self::SetAside(path, why) => {
                write!(
                    f,
                    "the record of this Instance could not be read ({why}); it is kept as {}",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for IdentityError {}

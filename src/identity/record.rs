//! The identity record: which Instance this disk belongs to. It is one small file, replaced atomically, as the last step (invariant H2).
//!
//! The record has a version. A record that cannot be read is renamed. Then the Instance is unknown, which does not mean a new Instance
//! (invariant D1).

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::metadata::api::instance::InstanceId;
use crate::util::files;
use crate::util::state_file;
use crate::util::time::Moment;

const VERSION: u32 = 1;
const MAX_BYTES: u64 = 4096;

/// The Instance that the disk belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The id of the Instance in the metadata.
    pub instance: InstanceId,
    /// Whether the DMI data had the same id.
    pub dmi_names_instance: bool,
}

#[derive(Serialize, Deserialize)]
struct IdentityFile {
    version: u32,
    instance: InstanceId,
    dmi_names_instance: bool,
    recorded: Moment,
}

/// Why a record cannot be read or written.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("cannot use the identity record {}: {}", .0.display(), .1)]
    File(PathBuf, #[source] io::Error),
    /// The file was no record. It now has this path; the text is the reason.
    #[error("the identity record cannot be read ({}); moved to {}", .1, .0.display())]
    SetAside(PathBuf, String),
}

/// Reads the record; `None` if there is none.
pub fn read(path: &Path) -> Result<Option<Identity>, IdentityError> {
    let bytes = match files::read_bounded(path, MAX_BYTES) {
        Ok(None) => return Ok(None),
        Ok(Some(bytes)) => bytes,
        Err(why) if why.kind() == io::ErrorKind::FileTooLarge => {
            return Err(set_aside(path, &why.to_string()));
        }
        Err(why) => return Err(IdentityError::File(path.to_owned(), why)),
    };
    match state_file::parse::<IdentityFile>(&bytes, VERSION) {
        Ok(IdentityFile { instance, dmi_names_instance, .. }) => {
            Ok(Some(Identity { instance, dmi_names_instance }))
        }
        Err(why) => Err(set_aside(path, &why)),
    }
}

/// Writes the record, and makes its folder if it is missing.
pub fn write(path: &Path, identity: &Identity) -> Result<(), IdentityError> {
    let Identity { instance, dmi_names_instance } = identity.clone();
    let record = IdentityFile { version: VERSION, instance, dmi_names_instance, recorded: Moment::now() };
    let written = path.parent().map_or(Ok(()), files::create_private_folder).and_then(|()| {
        let bytes = serde_json::to_vec_pretty(&record).map_err(io::Error::from)?;
        files::write_atomic(path, &bytes, 0o600)
    });
    written.map_err(|why| IdentityError::File(path.to_owned(), why))
}

fn set_aside(path: &Path, why: &str) -> IdentityError {
    match state_file::set_aside(path) {
        Ok(new_path) => IdentityError::SetAside(new_path, why.to_owned()),
        Err(why) => IdentityError::File(path.to_owned(), why),
    }
}

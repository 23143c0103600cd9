//! Reads the DMI data, in which the hypervisor reports which machine this is. They are available before the network.

use std::path::Path;

use crate::metadata::api::instance::InstanceId;
use crate::util::files;

/// The folder of the DMI data in Linux. Only root can read the UUID.
pub(crate) const FOLDER: &str = "/sys/class/dmi/id";
/// Longer than any UUID; a larger file is an error.
const MAX_UUID_FILE_BYTES: u64 = 4096;

/// The UUID of the machine; `None` if it is missing or cannot be read. Outside of the platform it means nothing, so check the platform
/// first.
pub(crate) fn instance(folder: &Path) -> Option<InstanceId> {
    let bytes = files::read_bounded(&folder.join("product_uuid"), MAX_UUID_FILE_BYTES).ok().flatten()?;
    InstanceId::try_from(String::from_utf8(bytes).ok()?.trim().to_owned()).ok()
}

//! The hypervisor's own word on which machine this is: the DMI data, there before any network.

use std::path::Path;

use crate::metadata::api::instance::InstanceId;
use crate::util::files;

/// Where Linux shows them; readable by root.
pub(crate) const FOLDER: &str = "/sys/class/dmi/id";

/// The machine's UUID; `None` where there is none, or it cannot be read. It means nothing outside of the platform: check that first.
pub(crate) fn instance(folder: &Path) -> Option<InstanceId> {
    let bytes = files::read_bounded(&folder.join("product_uuid"), 4096).ok().flatten()?;
    InstanceId::try_from(String::from_utf8(bytes).ok()?.trim().to_owned()).ok()
}

//! The hypervisor's own word on which machine this is: the DMI data, there before any network.

use std::path::Path;

use crate::files;
use crate::metadata::InstanceId;

/// Where Linux shows them; readable by root.
pub const FOLDER: &str = "/sys/class/dmi/id";
/// What the platform writes as the vendor (cloud-init knows a Scaleway machine by the same word).
const VENDOR: &str = "Scaleway";

/// The machine's UUID, on a machine of the platform; `None` where there is none, or it cannot be read.
pub fn instance(folder: &Path) -> Option<InstanceId> {
    let read = |name: &str| {
        let bytes = files::read_bounded(&folder.join(name), 4096).ok().flatten()?;
        Some(String::from_utf8(bytes).ok()?.trim().to_owned())
    };
    if read("sys_vendor")? != VENDOR {
        return None;
    }
    InstanceId::try_from(read("product_uuid")?).ok()
}

//! A disk as this machine sees it. Pure.

use serde::Serialize;

/// The bus of a disk, which its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Bus {
    /// `sda`
    Scsi,
    /// `vda`
    Virtio,
    /// `nvme0n1`
    Nvme,
    /// `sr0`: a CD-ROM drive.
    Cd,
    /// Any other name.
    Other,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Disk {
    /// The path of its device: `/dev/sda`.
    pub(crate) device: String,
    pub(crate) bus: Bus,
    /// Bytes.
    pub(crate) size: u64,
    pub(crate) model: Option<String>,
    /// The ids of volumes that the disk itself names: in its serial number, or in udev's names for it. Lower case.
    pub(crate) volume_ids: Vec<String>,
    #[serde(flatten)]
    pub(crate) content: Content,
    pub(crate) partitions: Vec<Partition>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Partition {
    /// The path of its device: `/dev/sda1`.
    pub(crate) device: String,
    /// Its number on the disk.
    pub(crate) number: u64,
    /// Bytes.
    pub(crate) size: u64,
    #[serde(flatten)]
    pub(crate) content: Content,
}

/// What a disk or a partition contains, as far as udev knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Content {
    /// Such as `ext4`, `swap`, `LVM2_member`.
    pub(crate) fs_type: Option<String>,
    pub(crate) uuid: Option<String>,
    pub(crate) label: Option<String>,
    /// Where it is mounted, or what lies on it (LVM, dm-crypt, RAID).
    pub(crate) mount_points: Vec<String>,
}

impl Bus {
    /// The bus of the disk with this name.
    pub(crate) fn of_name(name: &str) -> Self {
        let buses = [("sd", Self::Scsi), ("vd", Self::Virtio), ("nvme", Self::Nvme), ("sr", Self::Cd)];
        buses.into_iter().find(|(prefix, _)| name.starts_with(prefix)).map_or(Self::Other, |(_, bus)| bus)
    }
}

impl Disk {
    /// Whether it is a CD-ROM or an image of one: the platform attaches its configuration in this form.
    pub(crate) fn is_cd(&self) -> bool {
        let label = self.content.label.as_deref().unwrap_or_default();
        let fs_type = self.content.fs_type.as_deref().unwrap_or_default();
        self.bus == Bus::Cd || fs_type == "iso9660" || label.eq_ignore_ascii_case("cidata")
    }

    /// Whether the root file system is on this disk.
    pub(crate) fn has_root(&self) -> bool {
        let contents = self.partitions.iter().map(|partition| &partition.content).chain([&self.content]);
        contents.flat_map(|content| &content.mount_points).any(|mount_point| mount_point == "/")
    }
}

/// The id of a volume in a text such as `scsi-0SCW_sbs_volume-76d8ae14-…`, in lower case. The text before `volume-` differs between the
/// kinds of volumes, and changed over the years.
pub(crate) fn volume_id_in(text: &str) -> Option<String> {
    const UUID_LENGTH: usize = 36;
    let (_, rest) = text.rsplit_once("volume-")?;
    let id = rest.get(..UUID_LENGTH).filter(|_| rest.len() == UUID_LENGTH)?;
    let is_uuid = id.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    is_uuid.then(|| id.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_of_a_volume_is_found_in_names_and_serial_numbers() {
        let id = "76d8ae14-0000-4000-8000-000000000000";
        for (text, found) in [
            (format!("scsi-0SCW_sbs_volume-{id}"), true),
            (format!("scsi-0SCW_b_ssd_volume-{id}"), true),
            (format!("volume-{}", id.to_uppercase()), true),
            (format!("scsi-0SCW_sbs_volume-{id}-part1"), false),
            (format!("volume-{}", &id[1..]), false),
            (format!("volume-{}", id.replace('-', "_")), false),
            (format!("volume-{}é", &id[1..]), false),
            (id.to_owned(), false),
            ("volume-".to_owned(), false),
        ] {
            assert_eq!(volume_id_in(&text), found.then(|| id.to_owned()), "{text}");
        }
    }
}

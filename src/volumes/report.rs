//! The volumes and disks as a JSON document. Pure.

use serde::Serialize;

use crate::metadata::api::instance_details::Volume;
use crate::volumes::block_device::Disk;
use crate::volumes::matching::{DiskOfVolume, VolumeKind, matching};

/// The document of `scw-agent volumes --json`.
#[derive(Debug, Serialize)]
pub(crate) struct VolumesReport<'a> {
    version: u32,
    /// Why the metadata service did not name the volumes.
    pub(crate) metadata_error: Option<String>,
    /// The volumes; `None` if the service did not name them.
    pub(crate) volumes: Option<Vec<VolumeReport<'a>>>,
    /// The disks that are no volume; if the volumes are not known, all disks.
    pub(crate) other_disks: Vec<&'a Disk>,
}

/// A volume and its disk.
#[derive(Debug, Serialize)]
pub(crate) struct VolumeReport<'a> {
    #[serde(flatten)]
    pub(crate) volume: Volume,
    pub(crate) kind: VolumeKind,
    /// Whether the root file system is on it; `None` if that is not known.
    pub(crate) root: Option<bool>,
    pub(crate) found_by: FoundBy,
    pub(crate) disk: Option<&'a Disk>,
    /// The devices that are possible, if there are several.
    pub(crate) candidates: Vec<&'a str>,
}

/// How the disk of a volume was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FoundBy {
    /// The disk names the volume.
    Id,
    /// No other disk is possible.
    Elimination,
    /// Not found: several disks are possible.
    Ambiguous,
    /// Not found: no disk is possible.
    Nothing,
}

/// The report. In place of the volumes there may be the reason why they are not known.
pub(crate) fn report(volumes: Result<Vec<Volume>, String>, disks: &[Disk]) -> VolumesReport<'_> {
    let volumes = match volumes {
        Ok(volumes) => volumes,
        Err(why) => {
            let other_disks = disks.iter().collect();
            return VolumesReport { version: 1, metadata_error: Some(why), volumes: None, other_disks };
        }
    };
    let matched = matching(&volumes, disks);
    let root = RootDisk::of(disks, &matched.volumes);
    let volumes = volumes.into_iter().zip(&matched.volumes);
    let volumes = volumes.map(|(volume, found)| volume_report(volume, found, root)).collect();
    VolumesReport {
        version: 1,
        metadata_error: None,
        volumes: Some(volumes),
        other_disks: matched.other_disks,
    }
}

fn volume_report<'a>(volume: Volume, found: &DiskOfVolume<'a>, root: RootDisk) -> VolumeReport<'a> {
    let (found_by, candidates) = match found {
        DiskOfVolume::Named(_) => (FoundBy::Id, Vec::new()),
        DiskOfVolume::Eliminated(_) => (FoundBy::Elimination, Vec::new()),
        DiskOfVolume::Ambiguous(disks) => {
            (FoundBy::Ambiguous, disks.iter().map(|disk| &*disk.device).collect())
        }
        DiskOfVolume::Missing => (FoundBy::Nothing, Vec::new()),
    };
    let disk = found.disk();
    let root = match (root, disk) {
        (RootDisk::Unknown, _) => None,
        (_, Some(disk)) => Some(disk.has_root()),
        (RootDisk::OfVolume, None) => Some(false),
        (RootDisk::OfNoVolume, None) => None,
    };
    let size = volume.size.or(disk.map(|disk| disk.size));
    let kind = VolumeKind::of(&volume);
    VolumeReport { volume: Volume { size, ..volume }, kind, root, found_by, disk, candidates }
}

/// What is known of the disk with the root file system.
#[derive(Clone, Copy)]
enum RootDisk {
    /// None of the disks has it, as far as the mount table shows. A guess could have somebody format the root volume.
    Unknown,
    /// It is the disk of a volume.
    OfVolume,
    /// It is the disk of no volume, or it is not certain of which.
    OfNoVolume,
}

impl RootDisk {
    fn of(disks: &[Disk], found: &[DiskOfVolume]) -> Self {
        if !disks.iter().any(Disk::has_root) {
            Self::Unknown
        } else if found.iter().filter_map(DiskOfVolume::disk).any(Disk::has_root) {
            Self::OfVolume
        } else {
            Self::OfNoVolume
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volumes::block_device::{Bus, Content};

    fn disk(device: &str, mount_point: &str) -> Disk {
        let mount_points = vec![mount_point.to_owned()];
        let content = Content { mount_points, ..Content::default() };
        let (bus, model, volume_ids) = (Bus::Virtio, None, Vec::new());
        Disk { device: device.to_owned(), bus, size: 20, model, volume_ids, content, partitions: Vec::new() }
    }

    fn volume(index: &str, size: u64) -> Volume {
        let volume_type = Some("l_ssd".to_owned());
        Volume { index: index.to_owned(), volume_type, size: Some(size), ..Volume::default() }
    }

    #[test]
    fn root_volume_is_that_of_the_mount_table_if_known() {
        for (disks, volumes, expected) in [
            (
                vec![disk("/dev/vda", "/")],
                vec![volume("0", 30), volume("1", 20)],
                vec![Some(false), Some(true)],
            ),
            (vec![disk("/dev/vda", "/srv")], vec![volume("0", 20), volume("1", 30)], vec![None, None]),
            (vec![disk("/dev/vda", "/")], vec![volume("0", 30)], vec![None]),
            (
                vec![disk("/dev/vda", "/"), disk("/dev/vdb", "/srv")],
                vec![volume("0", 20), volume("1", 20)],
                vec![None, None],
            ),
        ] {
            let report = report(Ok(volumes), &disks);
            let roots: Vec<_> = report.volumes.iter().flatten().map(|volume| volume.root).collect();
            assert_eq!(roots, expected, "{report:#?}");
        }
    }

    #[test]
    fn all_disks_are_listed_if_the_volumes_are_unknown() {
        let disks = [disk("/dev/vda", "/")];
        let report = report(Err("unreachable".to_owned()), &disks);
        assert_eq!((report.volumes.is_none(), report.other_disks.len()), (true, 1));
    }
}

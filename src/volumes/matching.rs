//! Decides which disk each volume is. Pure.
//!
//! A disk that names a volume is that volume. Volumes on a disk of the hypervisor (`l_ssd`, `scratch`) have no such name, so they are found by
//! elimination, with their sizes. Nothing is guessed from the order of names: where several disks are possible, all are returned.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::metadata::api::instance_details::Volume;
use crate::volumes::block_device::{Bus, Disk};

/// The kind of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VolumeKind {
    SbsVolume,
    BSsd,
    LSsd,
    Scratch,
    Other,
}

/// Which disk a volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DiskOfVolume<'a> {
    /// This disk, which names the volume.
    Named(&'a Disk),
    /// This disk: no other disk is possible for this volume, and no other volume for this disk.
    Eliminated(&'a Disk),
    /// One of these disks.
    Ambiguous(Vec<&'a Disk>),
    /// No disk.
    Missing,
}

/// The result for all volumes and disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Matching<'a> {
    /// For each volume, in their order.
    pub(crate) volumes: Vec<DiskOfVolume<'a>>,
    /// The disks that are no volume, and are not possible for one.
    pub(crate) other_disks: Vec<&'a Disk>,
}

impl VolumeKind {
    /// The kind with the name that the Metadata API uses.
    pub(crate) fn of(volume: &Volume) -> Self {
        match volume.volume_type.as_deref() {
            Some("sbs_volume") => Self::SbsVolume,
            Some("b_ssd") => Self::BSsd,
            Some("l_ssd") => Self::LSsd,
            Some("scratch") => Self::Scratch,
            _ => Self::Other,
        }
    }
}

impl<'a> DiskOfVolume<'a> {
    /// The disk, if it is certain.
    pub(crate) fn disk(&self) -> Option<&'a Disk> {
        match self {
            Self::Named(disk) | Self::Eliminated(disk) => Some(disk),
            Self::Ambiguous(_) | Self::Missing => None,
        }
    }

    /// All disks that are possible.
    fn possible(&self) -> Vec<&'a Disk> {
        match self {
            Self::Named(disk) | Self::Eliminated(disk) => vec![disk],
            Self::Ambiguous(disks) => disks.clone(),
            Self::Missing => Vec::new(),
        }
    }
}

/// Matches volumes and disks.
pub(crate) fn matching<'a>(volumes: &[Volume], disks: &'a [Disk]) -> Matching<'a> {
    let mut found: Vec<_> = volumes.iter().map(|volume| named(volume, disks)).collect();
    let mut open: Vec<Open> = Vec::new();
    for (at, volume) in volumes.iter().enumerate().filter(|(at, _)| found[*at] == DiskOfVolume::Missing) {
        // A disk that names a volume is not one without a name, also if the document does not have that volume.
        let unnamed = disks.iter().filter(|disk| disk.volume_ids.is_empty() && !disk.is_cd());
        let possible = unnamed.filter(|disk| is_possible(volume, disk)).collect();
        open.push(Open { at, has_size: volume.size.is_some(), possible });
    }
    eliminate(open, &mut found);
    let is_possible = |disk: &&Disk| found.iter().any(|of_volume| of_volume.possible().contains(disk));
    let other_disks = disks.iter().filter(|disk| !is_possible(disk)).collect();
    Matching { volumes: found, other_disks }
}

/// The disk that names this volume.
fn named<'a>(volume: &Volume, disks: &'a [Disk]) -> DiskOfVolume<'a> {
    let Some(id) = volume.id.as_ref().map(|id| id.to_ascii_lowercase()) else { return DiskOfVolume::Missing };
    let disks: Vec<_> = disks.iter().filter(|disk| disk.volume_ids.contains(&id)).collect();
    match disks[..] {
        [] => DiskOfVolume::Missing,
        [disk] => DiskOfVolume::Named(disk),
        _ => DiskOfVolume::Ambiguous(disks),
    }
}

/// Whether a disk without a name may be this volume.
fn is_possible(volume: &Volume, disk: &Disk) -> bool {
    let has_size = volume.size == Some(disk.size);
    match VolumeKind::of(volume) {
        VolumeKind::LSsd => disk.bus == Bus::Virtio && (has_size || volume.size.is_none()),
        // Scaleway does not document how a scratch volume is attached, so the size must be the same.
        VolumeKind::Scratch => matches!(disk.bus, Bus::Virtio | Bus::Nvme) && has_size,
        VolumeKind::SbsVolume | VolumeKind::BSsd | VolumeKind::Other => false,
    }
}

/// A volume without a decision.
struct Open<'a> {
    /// Its place in the list of volumes.
    at: usize,
    /// Without a size, any disk may be it, so none is certain.
    has_size: bool,
    possible: Vec<&'a Disk>,
}

impl<'a> Open<'a> {
    /// The disk, if only one is possible and its size was compared.
    fn only_disk(&self) -> Option<&'a Disk> {
        if let [disk] = self.possible[..] { Some(disk).filter(|_| self.has_size) } else { None }
    }
}

/// Takes one disk after the other away from the other volumes: one that is the only possible disk of a volume, unless another volume has no
/// other possible disk either.
fn eliminate<'a>(mut open: Vec<Open<'a>>, found: &mut [DiskOfVolume<'a>]) {
    loop {
        let mut claims: BTreeMap<&str, usize> = BTreeMap::new();
        for disk in open.iter().filter_map(Open::only_disk) {
            *claims.entry(&disk.device).or_default() += 1;
        }
        let is_decided = |open: &Open| open.only_disk().is_some_and(|disk| claims[&*disk.device] == 1);
        let Some(at) = open.iter().position(is_decided) else { break };
        let decided = open.swap_remove(at);
        for disk in decided.possible {
            open.iter_mut()
                .for_each(|other| other.possible.retain(|possible| possible.device != disk.device));
            found[decided.at] = DiskOfVolume::Eliminated(disk);
        }
    }
    for Open { at, possible, .. } in open {
        found[at] =
            if possible.is_empty() { DiskOfVolume::Missing } else { DiskOfVolume::Ambiguous(possible) };
    }
}

#[cfg(test)]
mod tests;

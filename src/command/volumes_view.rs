//! Prints the volumes and disks for people. Pure.

use crate::command::rows::{RowMark, Rows};
use crate::volumes::block_device::{Content, Disk};
use crate::volumes::report::{FoundBy, VolumeReport, VolumesReport};

/// The complete view.
pub(crate) fn rows(report: &VolumesReport, colours: bool) -> Rows {
    let mut view = VolumesView(Rows::new(colours));
    for volume in report.volumes.iter().flatten() {
        view.volume(volume);
    }
    if report.volumes.as_ref().is_some_and(Vec::is_empty) {
        view.0.row(RowMark::Waiting, "volumes", "this Instance has none");
    }
    let reason =
        if report.volumes.is_some() { "not a volume of this Instance" } else { "its volume is not known" };
    for disk in &report.other_disks {
        view.other_disk(disk, reason);
    }
    view.0
}

struct VolumesView(Rows);

impl VolumesView {
    fn volume(&mut self, report: &VolumeReport) {
        let VolumeReport { volume, root, found_by, disk, candidates, .. } = report;
        let size = volume.size.map(size_text);
        let facts = [volume.volume_type.as_deref().unwrap_or("of an unknown type").to_owned()]
            .into_iter()
            .chain(volume.id.clone())
            .chain(volume.name.iter().map(|name| format!("\"{name}\"")))
            .chain(size)
            .chain((*root == Some(true)).then(|| "root".to_owned()));
        let facts = facts.collect::<Vec<_>>().join(", ");
        let (mark, device) = match (found_by, disk) {
            (FoundBy::Id, Some(disk)) => (RowMark::Good, disk.device.clone()),
            (FoundBy::Elimination, Some(disk)) => {
                (RowMark::Good, format!("{}, the only disk that it can be", disk.device))
            }
            (FoundBy::Ambiguous, _) => match &candidates[..] {
                [one] => (RowMark::Waiting, format!("perhaps {one}; the size of the volume is not known")),
                several => (RowMark::Waiting, format!("ambiguous, one of {}", several.join(", "))),
            },
            _ => (RowMark::Waiting, "no disk of this machine is this volume".to_owned()),
        };
        self.0.row(mark, &format!("volume {}", volume.index), &facts);
        self.0.below(&device);
        if let Some(disk) = disk {
            self.contents(disk);
        }
    }

    fn other_disk(&mut self, disk: &Disk, reason: &str) {
        let model = disk.model.iter().map(|model| format!(", {model}")).collect::<String>();
        let named =
            disk.volume_ids.iter().map(|id| format!(", it names the volume {id}")).collect::<String>();
        let facts = format!("{}, {}{model}: {reason}{named}", disk.device, size_text(disk.size));
        self.0.row(RowMark::Waiting, "disk", &facts);
        self.contents(disk);
    }

    /// A line for the disk's own file system, and one for each partition.
    fn contents(&mut self, disk: &Disk) {
        if disk.content != Content::default() {
            self.0.below(&format!("whole disk: {}", content_text(&disk.content)));
        }
        for partition in &disk.partitions {
            let facts = format!("{}, {}", partition.device, size_text(partition.size));
            self.0.below(&format!("{facts}, {}", content_text(&partition.content)));
        }
    }
}

/// `ext4, label "root", UUID 1234-ABCD, on /`
fn content_text(content: &Content) -> String {
    let Content { fs_type, uuid, label, mount_points } = content;
    let mut parts = vec![fs_type.as_deref().unwrap_or("no known file system").to_owned()];
    parts.extend(label.iter().map(|label| format!("label \"{label}\"")));
    parts.extend(uuid.iter().map(|uuid| format!("UUID {uuid}")));
    if !mount_points.is_empty() {
        parts.push(format!("mounted on {}", mount_points.join(", ")));
    }
    parts.join(", ")
}

/// A size in the units in which volumes are sold: powers of ten.
fn size_text(bytes: u64) -> String {
    let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => match (bytes / unit, bytes % unit / (unit / 10)) {
            (whole, 0) => format!("{whole} {name}"),
            (whole, tenths) => format!("{whole}.{tenths} {name}"),
        },
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::api::instance_details::Volume;
    use crate::volumes::block_device::Bus;
    use crate::volumes::report::report;

    fn disk(device: &str, id: &str) -> Disk {
        let volume_ids = if id.is_empty() { Vec::new() } else { vec![id.to_owned()] };
        let (bus, model, size) = (Bus::of_name(&device[5..]), Some("m\x1b".to_owned()), 20_000_000_000);
        let (content, partitions) = (Content::default(), Vec::new());
        Disk { device: device.to_owned(), bus, size, model, volume_ids, content, partitions }
    }

    #[test]
    fn each_result_has_its_row() {
        let volume = |index: &str, volume_type: &str| {
            let (id, volume_type) = (Some(format!("id{index}")), Some(volume_type.to_owned()));
            Volume { index: index.to_owned(), id, volume_type, ..Volume::default() }
        };
        let mut root = disk("/dev/sda", "id0");
        root.content.mount_points = vec!["/".to_owned()];
        root.content.label = Some("a\nb".to_owned());
        let disks = [root, disk("/dev/vda", ""), disk("/dev/vdb", ""), disk("/dev/sdb", "other")];
        let volumes = vec![volume("0", "sbs_volume"), volume("1", "l_ssd"), volume("2", "sbs_volume")];
        let shown = rows(&report(Ok(volumes), &disks), false).text().to_owned();
        let expected = "\
✓ volume 0      sbs_volume, id0, 20 GB, root
                /dev/sda
                whole disk: no known file system, label \"a\\nb\", mounted on /
… volume 1      l_ssd, id1
                ambiguous, one of /dev/vda, /dev/vdb
… volume 2      sbs_volume, id2
                no disk of this machine is this volume
… disk          /dev/sdb, 20 GB, m\\u{1b}: not a volume of this Instance, it names the volume other
";
        assert_eq!(shown, expected);
        let unknown = rows(&report(Err("why".to_owned()), &disks[1..2]), false);
        assert_eq!(unknown.text(), "… disk          /dev/vda, 20 GB, m\\u{1b}: its volume is not known\n");
        let none = rows(&report(Ok(Vec::new()), &[]), false);
        assert_eq!(none.text(), "… volumes       this Instance has none\n");
    }

    #[test]
    fn sizes_have_units() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1474, "1.4 kB"),
            (20_000_000_000, "20 GB"),
            (10_737_418_240, "10.7 GB"),
            (3_000_000_000_000, "3 TB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert!(size_text(bytes).starts_with(text), "{bytes}: {}", size_text(bytes));
        }
    }
}

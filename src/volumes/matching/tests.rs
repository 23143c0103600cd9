//! Tables of volumes and disks, and which is which.

use super::*;
use crate::volumes::block_device::Content;

const A: &str = "aaaaaaaa-0000-4000-8000-000000000000";
const B: &str = "bbbbbbbb-0000-4000-8000-000000000000";

fn volume(volume_type: &str, id: &str, size: u64) -> Volume {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let size = (size > 0).then_some(size);
    Volume { id: text(id), volume_type: text(volume_type), size, ..Volume::default() }
}

/// A disk without a name of its own: its device says its bus.
fn unnamed(device: &str, size: u64) -> Disk {
    let bus = Bus::of_name(device.strip_prefix("/dev/").expect("a device"));
    let (content, partitions) = (Content::default(), Vec::new());
    Disk { device: device.to_owned(), bus, size, model: None, volume_ids: Vec::new(), content, partitions }
}

fn named_disk(device: &str, ids: &[&str]) -> Disk {
    Disk { volume_ids: ids.iter().map(|id| (*id).to_owned()).collect(), ..unnamed(device, 20) }
}

fn cd(device: &str, size: u64) -> Disk {
    let content = Content { label: Some("CIDATA".to_owned()), ..Content::default() };
    Disk { content, ..unnamed(device, size) }
}

/// The result as text: `= device` by name, `- device` by elimination, `? device device` if ambiguous, `none`.
fn shown(found: &DiskOfVolume) -> String {
    let (sign, disks) = match found {
        DiskOfVolume::Named(disk) => ("=", vec![*disk]),
        DiskOfVolume::Eliminated(disk) => ("-", vec![*disk]),
        DiskOfVolume::Ambiguous(disks) => ("?", disks.clone()),
        DiskOfVolume::Missing => return "none".to_owned(),
    };
    disks.iter().fold(sign.to_owned(), |text, disk| text + " " + disk.device.trim_start_matches("/dev/"))
}

#[track_caller]
fn check(volumes: &[Volume], disks: &[Disk], expected: &[&str], others: &[&str]) {
    let result = matching(volumes, disks);
    let found: Vec<_> = result.volumes.iter().map(shown).collect();
    let rest: Vec<_> =
        result.other_disks.iter().map(|disk| disk.device.trim_start_matches("/dev/")).collect();
    assert_eq!(
        (&found[..], &rest[..]),
        (&expected.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()[..], others)
    );
}

#[test]
fn disk_that_names_a_volume_is_that_volume() {
    let disks = [named_disk("/dev/sdb", &[A]), named_disk("/dev/sda", &[B]), unnamed("/dev/sr0", 1)];
    for volume_type in ["sbs_volume", "b_ssd", "l_ssd", "scratch", "block_of_2030", ""] {
        let volumes = [volume(volume_type, A, 0), volume(volume_type, &B.to_uppercase(), 0)];
        check(&volumes, &disks, &["= sdb", "= sda"], &["sr0"]);
    }
    // Two disks with one name, and a volume without a disk.
    check(
        &[volume("sbs_volume", A, 0), volume("sbs_volume", B, 0), volume("sbs_volume", "", 0)],
        &[named_disk("/dev/sda", &[A]), named_disk("/dev/sdb", &[A])],
        &["? sda sdb", "none", "none"],
        &[],
    );
    check(&[], &[named_disk("/dev/sda", &[A])], &[], &["sda"]);
}

#[test]
fn local_volume_is_found_by_elimination() {
    for (volumes, disks, expected, others) in [
        // One volume, one virtio disk; disks of another bus, with a name, or a CD are none.
        (
            vec![volume("l_ssd", A, 20)],
            vec![
                unnamed("/dev/sda", 20),
                unnamed("/dev/vda", 20),
                named_disk("/dev/vdb", &[B]),
                cd("/dev/vdc", 20),
            ],
            vec!["- vda"],
            vec!["sda", "vdb", "vdc"],
        ),
        // Told apart by their sizes.
        (
            vec![volume("l_ssd", A, 20), volume("l_ssd", B, 30)],
            vec![unnamed("/dev/vda", 30), unnamed("/dev/vdb", 20)],
            vec!["- vdb", "- vda"],
            vec![],
        ),
        // A volume without a size may be the disk that is left. That is not certain.
        (
            vec![volume("l_ssd", A, 0), volume("l_ssd", B, 20)],
            vec![unnamed("/dev/vda", 20), unnamed("/dev/vdb", 30)],
            vec!["? vdb", "- vda"],
            vec![],
        ),
        // The other volume's disk names it.
        (
            vec![volume("l_ssd", A, 20), volume("sbs_volume", B, 0)],
            vec![unnamed("/dev/vda", 20), named_disk("/dev/sda", &[B])],
            vec!["- vda", "= sda"],
            vec![],
        ),
        // Of another size, or not there.
        (vec![volume("l_ssd", A, 20)], vec![unnamed("/dev/vda", 21)], vec!["none"], vec!["vda"]),
        (vec![volume("l_ssd", A, 20)], vec![], vec!["none"], vec![]),
        // Without a name, network volumes and unknown kinds are not guessed.
        (
            vec![volume("sbs_volume", A, 20), volume("b_ssd", B, 20), volume("new", "", 20)],
            vec![unnamed("/dev/vda", 20), unnamed("/dev/sda", 20)],
            vec!["none", "none", "none"],
            vec!["vda", "sda"],
        ),
        // A scratch volume is an NVMe or a virtio disk of its size.
        (
            vec![volume("l_ssd", A, 20), volume("scratch", B, 30), volume("scratch", "", 0)],
            vec![unnamed("/dev/nvme0n1", 30), unnamed("/dev/vda", 20), unnamed("/dev/nvme1n1", 40)],
            vec!["- vda", "- nvme0n1", "none"],
            vec!["nvme1n1"],
        ),
    ] {
        check(&volumes, &disks, &expected, &others);
    }
}

#[test]
fn ambiguous_local_volume_has_all_candidates() {
    let two = [unnamed("/dev/vda", 20), unnamed("/dev/vdb", 20)];
    let local = |size| volume("l_ssd", A, size);
    check(&[local(20), local(20)], &two, &["? vda vdb", "? vda vdb"], &[]);
    check(&[local(20)], &two, &["? vda vdb"], &[]);
    check(&[local(0)], &two, &["? vda vdb"], &[]);
    // Two volumes, but one disk.
    check(&[local(20), local(20)], &two[..1], &["? vda", "? vda"], &[]);
    // The certain ones are taken away first.
    let three = [unnamed("/dev/vda", 20), unnamed("/dev/vdb", 20), unnamed("/dev/vdc", 30)];
    check(&[local(20), local(30), local(0)], &three, &["? vda vdb", "- vdc", "? vda vdb"], &[]);
}

#[test]
fn thousands_of_volumes_are_matched() {
    let disks: Vec<_> = (0..200).map(|number| unnamed(&format!("/dev/vd{number}"), number)).collect();
    let volumes: Vec<_> = (0..20_000).map(|number| volume("l_ssd", A, number % 300)).collect();
    assert_eq!(matching(&volumes, &disks).volumes.len(), volumes.len());
}

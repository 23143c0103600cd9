//! Trees that resemble /sys, /dev, /run/udev and /proc, and the disks that are read from them.

use std::os::unix::fs::symlink;

use super::*;
use crate::util::random;

const ID: &str = "76d8ae14-0000-4000-8000-000000000000";

/// A tree, removed at the end.
struct Tree(PathBuf);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let root = std::env::temp_dir().join(format!("scw-agent-disks-{:x}", random::generator().u64(..)));
        let tree = Self(root);
        fs::create_dir_all(&tree.0).expect("made");
        files.iter().for_each(|(path, text)| tree.write(path, text.as_bytes()));
        tree
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, bytes).expect("written");
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        symlink(target, path).expect("linked");
    }

    /// A disk with the entry that hardware has.
    fn disk(self, name: &str, number: &str, sectors: &str) -> Self {
        self.write(&format!("sys/block/{name}/dev"), format!("{number}\n").as_bytes());
        self.write(&format!("sys/block/{name}/size"), format!("{sectors}\n").as_bytes());
        fs::create_dir_all(self.0.join(format!("sys/block/{name}/device"))).expect("made");
        self
    }

    fn disks(&self) -> Vec<Disk> {
        disks(&self.0)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn only_disks_are_listed_in_the_order_of_their_names() {
    let mut tree = Tree::new(&[("sys/block/nbd0/size", "0"), ("sys/block/nvme0c0n1/hidden", "1\n")]);
    for name in [
        "loop0",
        "ram1",
        "zram0",
        "dm-0",
        "md127",
        "fd0",
        "sdaa",
        "sdb",
        "vda",
        "sr0",
        "nvme0n1",
        "nvme0c0n1",
        "cciss!c0d0",
    ] {
        tree = tree.disk(name, "8:0", "2");
    }
    let found = tree.disks();
    let found: Vec<_> = found.iter().map(|disk| (&*disk.device, disk.bus, disk.size)).collect();
    assert_eq!(
        found,
        [
            ("/dev/sdb", Bus::Scsi, 1024),
            ("/dev/sr0", Bus::Cd, 1024),
            ("/dev/vda", Bus::Virtio, 1024),
            ("/dev/sdaa", Bus::Scsi, 1024),
            ("/dev/nvme0n1", Bus::Nvme, 1024),
            ("/dev/cciss/c0d0", Bus::Other, 1024),
        ]
    );
}

#[test]
fn volume_id_is_found_in_each_of_its_places() {
    let page = |text: &[u8], length: u8| [&[0, 0x80, 0, length][..], text].concat();
    let serial = format!("volume-{ID}");
    let length = u8::try_from(serial.len()).expect("short");
    let places: [&dyn Fn(&Tree); 8] = [
        &|tree| tree.link(&format!("dev/disk/by-id/scsi-0SCW_sbs_volume-{ID}"), "../../sda"),
        &|tree| tree.write("sys/block/sda/device/vpd_pg80", &page(serial.as_bytes(), length)),
        &|tree| {
            tree.write(
                "sys/block/sda/device/vpd_pg80",
                &page(format!("{serial}  junk").as_bytes(), length + 2),
            )
        },
        &|tree| {
            tree.write("run/udev/data/b8:0", format!("S:x\nE:ID_SERIAL=0SCW_b_ssd_{serial}\n").as_bytes())
        },
        &|tree| tree.write("run/udev/data/b8:0", format!("E:ID_SERIAL_SHORT={serial}\n").as_bytes()),
        &|tree| tree.write("sys/block/sda/serial", format!("{serial}\n").as_bytes()),
        &|tree| tree.write("sys/block/sda/device/serial", format!("{serial}  \n").as_bytes()),
        // The same id in two places is one id.
        &|tree| {
            tree.write("sys/block/sda/serial", serial.as_bytes());
            tree.link(&format!("dev/disk/by-id/virtio-{serial}"), "../../sda");
        },
    ];
    for (at, place) in places.iter().enumerate() {
        let tree = Tree::new(&[]).disk("sda", "8:0", "2");
        place(&tree);
        assert_eq!(tree.disks()[0].volume_ids, [ID], "place {at}");
    }
    let no_places: [&dyn Fn(&Tree); 4] = [
        &|tree| tree.link(&format!("dev/disk/by-id/scsi-0SCW_sbs_volume-{ID}-part1"), "../../sda1"),
        &|tree| tree.link(&format!("dev/disk/by-id/scsi-0SCW_sbs_volume-{ID}"), "../../sdb"),
        &|tree| tree.write("sys/block/sda/device/vpd_pg80", &page(serial.as_bytes(), 9)),
        &|tree| tree.write("sys/block/sda/device/vpd_pg80", &[0, 0x80, 0]),
    ];
    for (at, place) in no_places.iter().enumerate() {
        let tree = Tree::new(&[]).disk("sda", "8:0", "2");
        place(&tree);
        assert_eq!(tree.disks()[0].volume_ids, [""; 0], "no place {at}");
    }
}

#[test]
fn designator_has_the_volume_id_that_a_cut_serial_number_lacks() {
    let serial = format!("volume-{ID}");
    // As QEMU cuts it.
    let number = [&[0, 0x80, 0, 36][..], &serial.as_bytes()[..36]].concat();
    // The first designator is binary, the second is text.
    let page = |text: &str| {
        let head = [2, 0, 0, u8::try_from(text.len()).expect("short")];
        [&[0, 0x83, 0, 0, 1, 3, 0, 2, 7, 7][..], &head, text.as_bytes()].concat()
    };
    let whole = page(&serial);
    let mut binary = whole.clone();
    binary[10] = 1;
    let mut of_target = whole.clone();
    of_target[11] = 0x20;
    for (page, found) in [
        (page(&format!("SCW     sbs             {serial}  ")), true),
        (Vec::new(), false),
        (binary, false),
        (of_target, false),
        (whole[..7].to_vec(), false),
        (whole[..12].to_vec(), false),
        (whole[..whole.len() - 1].to_vec(), false),
        (whole, true),
    ] {
        let tree = Tree::new(&[]).disk("sda", "8:0", "2");
        tree.write("sys/block/sda/device/vpd_pg80", &number);
        tree.write("sys/block/sda/device/vpd_pg83", &page);
        let expected = if found { vec![ID] } else { Vec::new() };
        assert_eq!(tree.disks()[0].volume_ids, expected, "{page:?}");
    }
}

#[test]
fn partitions_have_file_systems_and_mount_points() {
    let tree = Tree::new(&[
        ("sys/block/sda/device/model", "sbs             \n"),
        ("sys/block/sda/sda1/partition", "1\n"),
        ("sys/block/sda/sda1/dev", "8:1\n"),
        ("sys/block/sda/sda1/size", "4\n"),
        ("sys/block/sda/sda15/partition", "15\n"),
        ("sys/block/sda/sda15/dev", "8:15\n"),
        ("sys/block/sda/sda2/partition", "2\n"),
        ("sys/block/sda/sda2/dev", "8:2\n"),
        ("sys/block/sda/queue/rotational", "0\n"),
        ("sys/block/sda/sda2/holders/dm-0/dev", "253:0\n"),
        ("sys/block/dm-0/dev", "253:0\n"),
        ("sys/block/dm-0/dm/name", "vg-home\n"),
        // A loop, which a real machine cannot have.
        ("sys/block/dm-0/holders/dm-0", ""),
        (
            "run/udev/data/b8:1",
            "E:ID_FS_TYPE=ext4\nE:ID_FS_UUID=1234-ABCD\nE:ID_FS_LABEL=my_root\nE:ID_FS_LABEL_ENC=my\\x20root\\x\n",
        ),
        ("run/udev/data/b8:2", "E:ID_FS_TYPE=LVM2_member\nE:ID_FS_LABEL=\nno line\nE:ODD\n"),
        (
            "proc/self/mountinfo",
            "22 1 8:1 / / rw - ext4 /dev/root rw\n23 22 253:0 / /home rw - xfs /dev/mapper/vg-home rw\n24 22 0:50 /@ /srv rw - btrfs /dev/sda15 rw\n",
        ),
    ])
    .disk("sda", "8:0", "20");
    let [disk] = &tree.disks()[..] else { panic!("one disk: {:#?}", tree.disks()) };
    assert_eq!((disk.model.as_deref(), disk.has_root()), (Some("sbs"), true));
    let text = |text: &str| Some(text.to_owned());
    let expected = [
        (1, 2048, text("ext4"), text("1234-ABCD"), text("my root\\x"), "/"),
        (2, 0, text("LVM2_member"), None, None, "/home"),
        (15, 0, None, None, None, "/srv"),
    ];
    for (partition, (number, size, fs_type, uuid, label, mount_point)) in disk.partitions.iter().zip(expected)
    {
        let content = Content { fs_type, uuid, label, mount_points: vec![mount_point.to_owned()] };
        assert_eq!((partition.number, partition.size, &partition.content), (number, size, &content));
    }
    assert_eq!(disk.partitions.len(), 3);
}

#[test]
fn odd_or_missing_files_leave_a_part_unknown() {
    assert_eq!(disks(Path::new("/no/such/folder")), []);
    let tree = Tree::new(&[
        ("sys/block/vda/device/model", ""),
        ("sys/block/vda/vda1/partition", "one\n"),
        ("proc/self/mountinfo", "\n \n- - - -\n"),
    ])
    .disk("vda", "../../../etc", "99999999999999999999");
    tree.write("etc", b"E:ID_FS_TYPE=xfs\n");
    let found = tree.disks();
    let [disk] = &found[..] else { panic!("one disk: {found:#?}") };
    assert_eq!((disk.size, disk.partitions.len(), &disk.model), (0, 0, &None));
    assert_eq!(disk.content, Content::default());
    let tree = Tree::new(&[]).disk("vda", "254:0", "18446744073709551615");
    assert_eq!(tree.disks()[0].size, u64::MAX, "no overflow");
}

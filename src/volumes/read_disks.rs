//! Reads the disks of this machine: /sys/block, the links in /dev/disk/by-id, udev's database, the mount table.
//!
//! A file that is missing or cannot be read means that its part is unknown. udev's part is missing on a machine without udev.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::system::mount_table::{self, Mount};
use crate::util::files;
use crate::volumes::block_device::{Bus, Content, Disk, Partition, volume_id_in};

/// Devices that are files or memory of this machine, or that lie on disks. Most of them have no entry `device` in /sys either.
const NO_DISKS: [&str; 6] = ["loop", "ram", "zram", "dm-", "md", "fd"];
/// The unit of sizes in /sys, whatever the disk's own sectors are.
const SECTOR_BYTES: u64 = 512;
const MAX_ATTRIBUTE_BYTES: u64 = 64 * 1024;
const MAX_MOUNT_TABLE_BYTES: u64 = 16 * 1024 * 1024;
/// How many devices may lie on each other: LVM on dm-crypt on RAID is three.
const MAX_LAYERS: u32 = 8;

/// All disks below this root folder, in the order of their names. The root is `/`, except in tests.
pub(crate) fn disks(root: &Path) -> Vec<Disk> {
    let reader = DiskReader::new(root);
    let mut names = names_in(&root.join("sys/block"));
    names.retain(|name| !NO_DISKS.iter().any(|prefix| name.starts_with(prefix)));
    // sdb precedes sdaa.
    names.sort_by_key(|name| (name.len(), name.clone()));
    names.iter().filter_map(|name| reader.disk(name)).collect()
}

/// Reads devices, with what was read once for all of them.
struct DiskReader<'a> {
    root: &'a Path,
    mounts: Vec<Mount>,
    /// The names in /dev/disk/by-id, by the name of the device.
    links: BTreeMap<String, Vec<String>>,
}

impl<'a> DiskReader<'a> {
    fn new(root: &'a Path) -> Self {
        let mounts = files::read_bounded(&root.join("proc/self/mountinfo"), MAX_MOUNT_TABLE_BYTES);
        let mounts = mounts.ok().flatten().unwrap_or_default();
        let mounts = mount_table::parse(&String::from_utf8_lossy(&mounts));
        let by_id = root.join("dev/disk/by-id");
        let mut links: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for name in names_in(&by_id) {
            let target = fs::read_link(by_id.join(&name)).ok();
            let device = target.as_deref().and_then(Path::file_name).and_then(|device| device.to_str());
            if let Some(device) = device {
                links.entry(device.to_owned()).or_default().push(name);
            }
        }
        Self { root, mounts, links }
    }

    fn disk(&self, name: &str) -> Option<Disk> {
        let folder = self.root.join("sys/block").join(name);
        // A path of a multipath NVMe disk has the attribute `hidden`, and no device file.
        if !folder.join("device").exists() || attribute(&folder, "hidden").as_deref() == Some("1") {
            return None;
        }
        let properties = self.udev_properties(&folder);
        let mut partitions: Vec<_> = names_in(&folder)
            .into_iter()
            .filter_map(|partition| self.partition(&folder.join(&partition), &partition))
            .collect();
        partitions.sort_by_key(|partition| partition.number);
        Some(Disk {
            device: device_path(name),
            bus: Bus::of_name(name),
            size: size(&folder),
            model: attribute(&folder, "device/model"),
            volume_ids: self.volume_ids(name, &folder, &properties),
            content: self.content(name, &folder, &properties),
            partitions,
        })
    }

    /// The volume ids that the names in /dev/disk/by-id, udev's serial numbers, and the disk's own serial number and designators have.
    fn volume_ids(&self, name: &str, folder: &Path, properties: &Properties) -> Vec<String> {
        let links = self.links.get(name).into_iter().flatten().cloned();
        let udev =
            ["ID_SERIAL", "ID_SERIAL_SHORT"].into_iter().filter_map(|key| properties.get(key).cloned());
        let own = [
            read(&folder.join("device/vpd_pg80")).and_then(|page| serial_of_page(&page)),
            attribute(folder, "serial"),
            attribute(folder, "device/serial"),
        ];
        let page = read(&folder.join("device/vpd_pg83")).unwrap_or_default();
        let mut found: Vec<_> = links
            .chain(udev)
            .chain(own.into_iter().flatten())
            .chain(designators_of_page(&page))
            .filter_map(|text| volume_id_in(&text))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn partition(&self, folder: &Path, name: &str) -> Option<Partition> {
        let number = attribute(folder, "partition")?.parse().ok()?;
        let properties = self.udev_properties(folder);
        let content = self.content(name, folder, &properties);
        Some(Partition { device: device_path(name), number, size: size(folder), content })
    }

    fn content(&self, name: &str, folder: &Path, properties: &Properties) -> Content {
        // udev replaces unsafe characters in ID_FS_LABEL by `_`, and escapes them in ID_FS_LABEL_ENC.
        let property = |key: &str| {
            let encoded = properties.get(&format!("{key}_ENC")).map(|text| udev_unescaped(text));
            encoded.or_else(|| properties.get(key).cloned()).filter(|text| !text.is_empty())
        };
        let mut mount_points = Vec::new();
        self.add_mount_points(name, folder, MAX_LAYERS, &mut mount_points);
        Content {
            fs_type: property("ID_FS_TYPE"),
            uuid: property("ID_FS_UUID"),
            label: property("ID_FS_LABEL"),
            mount_points,
        }
    }

    /// Adds where the device is mounted, and the devices that lie on it.
    fn add_mount_points(&self, name: &str, folder: &Path, layers: u32, found: &mut Vec<String>) {
        let number = attribute(folder, "dev").unwrap_or_default();
        let names =
            [Some(name.to_owned()), attribute(folder, "dm/name").map(|name| format!("mapper/{name}"))];
        for device in names.iter().flatten().map(|name| device_path(name)) {
            for mount_point in mount_table::mount_points(&self.mounts, &number, &device) {
                if !found.contains(&mount_point) {
                    found.push(mount_point);
                }
            }
        }
        if layers > 0 {
            for holder in names_in(&folder.join("holders")) {
                let folder = self.root.join("sys/block").join(&holder);
                self.add_mount_points(&holder, &folder, layers - 1, found);
            }
        }
    }

    /// What udev knows about the device.
    fn udev_properties(&self, folder: &Path) -> Properties {
        let number = attribute(folder, "dev").filter(|number| !number.contains('/'));
        let Some(number) = number else { return Properties::new() };
        let path = self.root.join("run/udev/data").join(format!("b{number}"));
        let text = read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let properties = text.lines().filter_map(|line| line.strip_prefix("E:")?.split_once('='));
        properties.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

type Properties = BTreeMap<String, String>;

/// The path of a device. In /sys, `!` stands for `/` in a name.
fn device_path(name: &str) -> String {
    format!("/dev/{}", name.replace('!', "/"))
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

fn read(path: &Path) -> Option<Vec<u8>> {
    files::read_bounded(path, MAX_ATTRIBUTE_BYTES).ok().flatten()
}

/// The text of an attribute in /sys; `None` if it is empty.
fn attribute(folder: &Path, name: &str) -> Option<String> {
    let path: PathBuf = folder.join(name);
    let text = String::from_utf8_lossy(&read(&path)?).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn size(folder: &Path) -> u64 {
    let sectors: u64 = attribute(folder, "size").and_then(|text| text.parse().ok()).unwrap_or_default();
    sectors.saturating_mul(SECTOR_BYTES)
}

/// The serial number in the SCSI page 0x80: two bytes, the length as two more bytes, the text.
fn serial_of_page(page: &[u8]) -> Option<String> {
    let (head, text) = page.split_at_checked(4)?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let text = text.get(..length).unwrap_or(text);
    Some(String::from_utf8_lossy(text).trim_matches([' ', '\0']).to_owned())
}

/// The designators of the disk in the SCSI page 0x83, those of them that are text. QEMU cuts the serial number of the page 0x80 after 36
/// bytes, which is too short for `volume-UUID`, but not this one, its `device_id`. After the page's four bytes, each designator has four bytes,
/// the last one its length. Those of the target are the same for all its disks.
fn designators_of_page(page: &[u8]) -> Vec<String> {
    const ASCII: u8 = 2;
    const UTF_8: u8 = 3;
    let mut found = Vec::new();
    let mut rest = page.get(4..).unwrap_or_default();
    while let Some((head, after)) = rest.split_at_checked(4) {
        let Some((text, next)) = after.split_at_checked(usize::from(head[3])) else { break };
        let is_of_disk = head[1] & 0x30 == 0;
        if is_of_disk && [ASCII, UTF_8].contains(&(head[0] & 0x0f)) {
            found.push(String::from_utf8_lossy(text).trim_matches([' ', '\0']).to_owned());
        }
        rest = next;
    }
    found
}

/// The text with udev's escapes resolved: `\x20` is a space.
fn udev_unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        match after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.extend_from_slice(b"\\x");
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;

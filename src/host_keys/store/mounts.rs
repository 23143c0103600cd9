//! Distinguishes a missing key from a key that this process cannot see: the unit's sandbox hides its folder, or its file system is not mounted.
//! A key that cannot be seen is never replaced (invariant H1).

use std::fs;
use std::path::{Path, PathBuf};

use crate::system::mount_table::{self, Mount, unescaped};

/// Why a path may seem to be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The sandbox of this process covers this folder.
    Hidden(PathBuf),
    /// This file system is configured but not mounted.
    NotMounted(PathBuf),
}

/// Part of the path of what systemd mounts over folders that a unit may not see.
const INACCESSIBLE: &str = "/systemd/inaccessible/";
/// The folders over which `ProtectHome=tmpfs` mounts empty file systems.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

/// The obstacle that hides `path`, if there is one.
pub(crate) fn obstacle(path: &Path) -> Option<Obstacle> {
    let mounts = mount_table::parse(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
    let configured = configured_mounts(&fs::read_to_string("/etc/fstab").unwrap_or_default());
    find(path, &mounts, &configured).or_else(|| {
        // Mounts that are configured by a unit.
        let has_unit = |folder: &Path| {
            Path::new("/etc/systemd/system").join(unit_name(folder)).exists()
                && !mounts.iter().any(|mount| Path::new(&mount.point) == folder)
        };
        let folder = path.ancestors().skip(1).find(|folder| folder.parent().is_some() && has_unit(folder))?;
        Some(Obstacle::NotMounted(folder.to_owned()))
    })
}

fn find(path: &Path, mounts: &[Mount], configured: &[PathBuf]) -> Option<Obstacle> {
    // The last one of the deepest mounts covers the others.
    let covering = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    if let Some(mount) = covering.max_by_key(|mount| Path::new(&mount.point).components().count()) {
        let is_home = HOMES.contains(&&*mount.point);
        if mount.root.contains(INACCESSIBLE) || (is_home && mount.kind == "tmpfs") {
            return Some(Obstacle::Hidden(PathBuf::from(&mount.point)));
        }
    }
    let missing = |point: &&PathBuf| {
        path.starts_with(point) && !mounts.iter().any(|mount| Path::new(&mount.point) == *point)
    };
    configured.iter().find(missing).map(|point| Obstacle::NotMounted(point.clone()))
}

/// The mount points in an fstab, without the root.
fn configured_mounts(fstab: &str) -> Vec<PathBuf> {
    let lines = fstab.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let points = lines.filter_map(|line| line.split_whitespace().nth(1)).map(unescaped);
    points.filter(|point| point.starts_with('/') && point != "/").map(PathBuf::from).collect()
}

/// The unit name of a mount, as `systemd-escape --path` writes it.
fn unit_name(folder: &Path) -> String {
    let text = folder.to_string_lossy();
    let mut name = String::new();
    for byte in text.trim_matches('/').bytes() {
        match byte {
            b'/' => name.push('-'),
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b':' | b'_' | b'.' => name.push(char::from(byte)),
            _ => name.push_str(&format!("\\x{byte:02x}")),
        }
    }
    format!("{name}.mount")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
21 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
22 21 0:20 / /run rw - tmpfs tmpfs rw
30 21 0:20 /systemd/inaccessible/dir /root ro - tmpfs tmpfs rw
31 21 0:44 / /home ro - tmpfs tmpfs rw
32 21 254:2 / /data rw - ext4 /dev/vdb rw
33 32 0:45 / /data/with\\040space rw - ext4 /dev/vdc rw
";

    #[test]
    fn h1_what_is_hidden_or_not_mounted_is_not_missing() {
        let mounts = mount_table::parse(MOUNTINFO);
        let fstab = "# /data/no\n/dev/vda1 / ext4 defaults 0 1\n/dev/vdb /data ext4\nhost:/x /nfs nfs\n/dev/x /with\\040space ext4\nnone none swap\n";
        let configured = configured_mounts(fstab);
        let hidden = |point: &str| Some(Obstacle::Hidden(point.into()));
        let not_mounted = |point: &str| Some(Obstacle::NotMounted(point.into()));
        for (path, expected) in [
            ("/etc/ssh/key", None),
            ("/root/key", hidden("/root")),
            ("/home/x/key", hidden("/home")),
            ("/rootless/key", None),
            ("/run/user/key", None),
            ("/data/key", None),
            ("/data/with space/key", None),
            ("/nfs/keys/key", not_mounted("/nfs")),
            ("/with space/key", not_mounted("/with space")),
        ] {
            assert_eq!(find(Path::new(path), &mounts, &configured), expected, "{path}");
        }
    }

    #[test]
    fn a_mounts_unit_has_its_escaped_name() {
        assert_eq!(unit_name(Path::new("/srv/my-data")), "srv-my\\x2ddata.mount");
    }
}

//! The mount table of this process, /proc/self/mountinfo. Pure.

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// `MAJOR:MINOR` of the file system's device. File systems such as btrfs have a number that is no device's.
    pub(crate) number: String,
    /// The path inside the mounted file system that is visible at `point`.
    pub(crate) root: String,
    pub(crate) point: String,
    /// The type of the file system.
    pub(crate) kind: String,
    pub(crate) source: String,
}

/// The mounts in a text with the format of /proc/PID/mountinfo, in their order. A line in another format is skipped.
pub(crate) fn parse(text: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let (mount, device) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(2);
        let (number, root, point) = (fields.next()?, fields.next()?, fields.next()?);
        let mut fields = device.split(' ');
        let (kind, source) = (fields.next()?, fields.next()?);
        Some(Mount {
            number: number.to_owned(),
            root: unescaped(root),
            point: unescaped(point),
            kind: kind.to_owned(),
            source: unescaped(source),
        })
    };
    text.lines().filter_map(mount).collect()
}

/// The mount points of the device with this number and this path, in the order in which they were mounted.
pub(crate) fn mount_points(mounts: &[Mount], number: &str, device: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for mount in mounts.iter().filter(|mount| mount.number == number || mount.source == device) {
        if !found.contains(&mount.point) {
            found.push(mount.point.clone());
        }
    }
    found
}

/// A field of the mount table or of fstab with its octal escapes resolved: `\040` is a space.
pub(crate) fn unescaped(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escape = if *first == b'\\' { after.get(..3).and_then(octal) } else { None };
        bytes.push(escape.unwrap_or(*first));
        rest = if escape.is_some() { &after[3..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn octal(digits: &[u8]) -> Option<u8> {
    let is_octal = digits.iter().all(|digit| (b'0'..=b'7').contains(digit));
    let text = std::str::from_utf8(digits).ok().filter(|_| is_octal)?;
    u8::from_str_radix(text, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r"22 1 8:1 / / rw,relatime shared:1 master:2 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw - proc proc rw
24 22 8:16 / /srv/my\040data\134x rw - xfs /dev/sdb rw
25 22 0:40 /@ /mnt rw - btrfs /dev/sdc rw
26 22 8:16 /sub /other\012line rw - xfs /dev/sdb rw
27 22 8:16 / /srv/my\040data\134x rw - xfs /dev/sdb rw
28 22
29 22 8:1 / /no-hyphen rw ext4 /dev/sda1 rw

30 22 8:1 / /odd\9\04 rw - ext4 /dev/sda1 rw
";

    #[test]
    fn mount_points_are_found_and_unescaped() {
        let mounts = parse(TABLE);
        for (number, device, expected) in [
            ("8:1", "/dev/sda1", &["/", r"/odd\9\04"][..]),
            ("8:16", "/dev/sdb", &[r"/srv/my data\x", "/other\nline"]),
            ("8:32", "/dev/sdc", &["/mnt"]),
            ("8:48", "/dev/sdd", &[]),
        ] {
            assert_eq!(mount_points(&mounts, number, device), expected, "{device}");
        }
        assert_eq!(parse("\u{fffd}\n- - -\n1 2 3 4 5 6 -\n1 2 3 4 - 5\n - a b\n"), []);
    }
}

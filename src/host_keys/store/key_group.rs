//! The group whose programs may read host keys: `ssh_keys` of RHEL and related distributions. There, OpenSSH is built to load a key that
//! this group may read, so a key may have the mode 0640. Elsewhere sshd refuses such a key.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::host_keys::sshd::cache::OpensshAnswers;
use crate::util::program::{self, words};

const NAME: &str = "ssh_keys";
/// The program for which the group exists. Where OpenSSH is built that way, it belongs to the group and has the set-group-id bit.
const KEYSIGN: [&str; 4] = [
    "/usr/libexec/openssh/ssh-keysign",
    "/usr/lib/openssh/ssh-keysign",
    "/usr/lib/ssh/ssh-keysign",
    "/usr/libexec/ssh-keysign",
];
const SET_GROUP_ID: u32 = 0o2000;

/// The group, and whether OpenSSH is known to load keys that this group may read.
#[derive(Debug, Default)]
pub(crate) struct KeyGroup {
    group: Option<u32>,
    is_of_keysign: bool,
}

impl KeyGroup {
    /// The group of this machine.
    pub(crate) fn read() -> Self {
        let Some(group) = group_id() else { return Self::default() };
        let is_group_program = |path: &str| {
            fs::metadata(path).is_ok_and(|file| file.gid() == group && file.mode() & SET_GROUP_ID != 0)
        };
        Self { group: Some(group), is_of_keysign: KEYSIGN.iter().any(|path| is_group_program(path)) }
    }

    /// The group that new keys get, if any.
    pub(crate) fn for_new_keys(&self) -> Option<u32> {
        self.group.filter(|_| self.is_of_keysign)
    }

    /// Whether OpenSSH loads this key although its group may read it. This checks the group of ssh-keysign first, and
    /// then runs ssh-keygen on the key, which refuses what sshd refuses. Only a usable key can show it.
    pub(crate) fn may_read(
        &self,
        path: &Path,
        file: &fs::Metadata,
        usable: bool,
        answers: &mut OpensshAnswers,
    ) -> bool {
        let Some(group) = self.group.filter(|group| *group == file.gid()) else { return false };
        if self.is_of_keysign {
            return true;
        }
        let is_open_to_group = file.uid() == 0 && file.mode() & 0o077 == 0o040;
        if !usable || !is_open_to_group {
            return false;
        }
        if let Some(loads) = answers.group_read(group) {
            return loads;
        }
        let options = words(&["-y", "-P", "", "-f"]).chain([OsStr::new(path)]);
        let loads = program::run("ssh-keygen", options, b"").is_ok_and(|output| output.status.success());
        answers.set_group_read(group, loads);
        loads
    }
}

/// The group's id. It is read from the file: a static program has no name service.
fn group_id() -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    let fields = groups.lines().find_map(|line| line.strip_prefix(NAME)?.strip_prefix(':'))?;
    fields.split(':').nth(1)?.parse().ok()
}

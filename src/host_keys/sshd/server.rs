//! Whether an OpenSSH server is enabled or active. Only then are its host keys published (invariant H3). Dropbear and other servers have
//! their own keys.
//!
//! This reads systemd's files: enablement links, unit files, and the entries for active units in /run and /sys. It never connects to a
//! port, because any local user may listen there while sshd is down. It runs no program, so the daemon can use it too.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::util::files;
use crate::util::state_json::{InvalidState, StateFields};

/// The folders of unit files and enablement links, the one with the highest precedence first.
const UNIT_FOLDERS: [&str; 8] = [
    "run/systemd/generator.early",
    "etc/systemd/system",
    "run/systemd/system",
    "run/systemd/generator",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
    "run/systemd/generator.late",
];
/// The folder with a link for each active service.
const ACTIVE_SERVICES: &str = "run/systemd/units";
/// The folders with the control groups of active sockets: in the unified hierarchy, and in the two older layouts.
const ACTIVE_SOCKETS: [&str; 3] = [
    "sys/fs/cgroup/system.slice",
    "sys/fs/cgroup/unified/system.slice",
    "sys/fs/cgroup/systemd/system.slice",
];
/// The units that distributions ship.
const SHIPPED_UNITS: [&str; 4] = ["ssh.service", "sshd.service", "ssh.socket", "sshd.socket"];
/// The largest unit file that is read. No unit file comes near it.
const MAX_UNIT_FILE_BYTES: u64 = 256 * 1024;

/// Whether sshd serves host keys now or after a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", try_from = "StateFields")]
pub enum SshServer {
    /// systemd does not run, or its files cannot be read. Host keys are published as if it were enabled.
    #[default]
    Unknown,
    /// A unit that starts OpenSSH's sshd is enabled or active.
    Enabled,
    /// There is no such unit, so nothing serves OpenSSH's host keys.
    NotEnabled,
}

impl TryFrom<StateFields> for SshServer {
    type Error = InvalidState;

    fn try_from(tagged: StateFields) -> Result<Self, InvalidState> {
        match &*tagged.state {
            "unknown" => Ok(Self::Unknown),
            "enabled" => Ok(Self::Enabled),
            "not-enabled" => Ok(Self::NotEnabled),
            _ => Err(InvalidState),
        }
    }
}

impl SshServer {
    /// Reads the units of the system whose root is `root`.
    pub fn read(root: &Path) -> Self {
        if !root.join("run/systemd/system").is_dir() {
            return Self::Unknown;
        }
        match (SshUnits { root }).has_server() {
            Ok(true) => Self::Enabled,
            Ok(false) => Self::NotEnabled,
            Err(_) => Self::Unknown,
        }
    }
}

/// The folders in which units are enabled, disabled and masked.
pub(crate) fn enablement_folders(root: &Path) -> [PathBuf; 3] {
    let folder = root.join("etc/systemd/system");
    [folder.join("multi-user.target.wants"), folder.join("sockets.target.wants"), folder]
}

/// The links that systemd has for the active ones of the services that distributions ship. It removes them when a service stops.
pub(crate) fn active_links(root: &Path) -> impl Iterator<Item = PathBuf> {
    let services = SHIPPED_UNITS.iter().filter(|name| is_service(name));
    services.map(move |name| root.join(ACTIVE_SERVICES).join(format!("invocation:{name}")))
}

struct SshUnits<'a> {
    root: &'a Path,
}

impl SshUnits<'_> {
    fn has_server(&self) -> io::Result<bool> {
        // Most systems have one of the shipped units, enabled in the usual folder. Then no other file is listed or read.
        let [services, sockets, _] = enablement_folders(self.root);
        for name in SHIPPED_UNITS {
            let is_linked = [&services, &sockets].iter().any(|folder| folder.join(name).is_symlink());
            if is_linked && self.will_start_sshd(name)? {
                return Ok(true);
            }
        }
        for name in self.active()? {
            let text = self.unit_file(&name)?.filter(|text| !text.is_empty());
            // A unit's file may be masked or removed while the unit is active. Then its name decides.
            let is_shipped = SHIPPED_UNITS.contains(&&*name);
            if text.map_or(Ok(is_shipped), |text| self.starts_sshd(&name, &text))? {
                return Ok(true);
            }
        }
        for name in self.enabled()? {
            if self.will_start_sshd(&name)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the file of an enabled unit exists, is not masked, and starts sshd.
    fn will_start_sshd(&self, name: &str) -> io::Result<bool> {
        match self.unit_file(name)? {
            Some(text) if self.may_start(&text) => self.starts_sshd(name, &text),
            _ => Ok(false),
        }
    }

    /// The services and sockets that are active.
    fn active(&self) -> io::Result<BTreeSet<String>> {
        let services = list(&self.root.join(ACTIVE_SERVICES))?;
        let services = services.iter().filter_map(|name| name.strip_prefix("invocation:").map(str::to_owned));
        // A unit name with `@` is one connection. Whether there can be others depends on its socket.
        let mut active: BTreeSet<_> =
            services.filter(|name| is_service(name) && !name.contains('@')).collect();
        for folder in ACTIVE_SOCKETS {
            let names = list(&self.root.join(folder))?;
            active.extend(names.into_iter().filter(|name| is_socket(name)));
        }
        Ok(active)
    }

    /// The services and sockets that another unit wants or requires, by a link.
    fn enabled(&self) -> io::Result<BTreeSet<String>> {
        let mut enabled = BTreeSet::new();
        for folder in UNIT_FOLDERS {
            let folder = self.root.join(folder);
            for name in list(&folder)? {
                if [".wants", ".requires", ".upholds"].iter().any(|end| name.ends_with(end)) {
                    let links = list(&folder.join(name))?;
                    enabled.extend(links.into_iter().filter(|name| is_service(name) || is_socket(name)));
                }
            }
        }
        Ok(enabled)
    }

    /// The text of a unit's file. It is empty if the unit is masked, and `None` if there is no file. Drop-ins are not read.
    fn unit_file(&self, name: &str) -> io::Result<Option<String>> {
        let template = name.split_once('@').and_then(|(stem, instance)| {
            let (_, kind) = instance.rsplit_once('.')?;
            Some(format!("{stem}@.{kind}"))
        });
        for name in [Some(name.to_owned()), template].into_iter().flatten() {
            for folder in UNIT_FOLDERS {
                let path = self.root.join(folder).join(&name);
                if fs::read_link(&path).is_ok_and(|target| target == Path::new("/dev/null")) {
                    return Ok(Some(String::new()));
                }
                match files::read_bounded(&path, MAX_UNIT_FILE_BYTES) {
                    Ok(None) => {}
                    Ok(Some(text)) => return Ok(Some(String::from_utf8_lossy(&text).into_owned())),
                    Err(why) if SHIPPED_UNITS.contains(&&*name) => return Err(why),
                    // Some administrators hide unit files from other users. As far as this process can see, the unit does not start sshd.
                    Err(_) => return Ok(Some(String::new())),
                }
            }
        }
        Ok(None)
    }

    /// Whether no `ConditionPathExists=!` stops the unit. Debian uses that condition for switching sshd off.
    fn may_start(&self, text: &str) -> bool {
        let absent = settings(text, "ConditionPathExists").filter_map(|path| path.strip_prefix('!'));
        absent.map(|path| path.trim_start_matches('/')).all(|path| !self.root.join(path).exists())
    }

    /// Whether a unit starts OpenSSH's sshd for clients on the network.
    fn starts_sshd(&self, name: &str, text: &str) -> io::Result<bool> {
        if !is_socket(name) {
            return Ok(settings(text, "ExecStart").any(runs_sshd));
        }
        // systemd-ssh-generator creates sockets for local logins and for the host of a virtual machine.
        let is_local = |stream: &str| stream.starts_with(['/', '@', '%']) || stream.starts_with("vsock:");
        let mut streams = settings(text, "ListenStream").peekable();
        if streams.peek().is_some() && streams.all(is_local) {
            return Ok(false);
        }
        let stem = name.trim_end_matches(".socket");
        let of_same_name = || vec![format!("{stem}.service"), format!("{stem}@.service")];
        let services =
            settings(text, "Service").last().map_or_else(of_same_name, |name| vec![name.to_owned()]);
        for service in services {
            let text = self.unit_file(&service)?.unwrap_or_default();
            if self.may_start(&text) && settings(&text, "ExecStart").any(runs_sshd) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn is_service(name: &str) -> bool {
    name.ends_with(".service")
}

fn is_socket(name: &str) -> bool {
    name.ends_with(".socket")
}

/// The values of a setting in a unit file.
fn settings<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines()
        .filter_map(move |line| Some(line.trim().strip_prefix(key)?.trim_start().strip_prefix('=')?.trim()))
}

/// Whether a command line runs a program `sshd`, directly or by a shell, or Debian's init script for it.
fn runs_sshd(command: &str) -> bool {
    let mut words =
        command.split(|c: char| c.is_whitespace() || "\"';".contains(c)).filter(|word| !word.is_empty());
    let Some(program) = words.next() else { return false };
    // Prefixes that systemd allows before a path.
    let program = program.trim_start_matches(['-', '@', ':', '+', '!', '|']);
    match program.rsplit('/').next() {
        Some("sshd") => true,
        Some("sh" | "bash" | "dash" | "env") => words.any(|word| word.ends_with("/sshd")),
        _ => program == "/etc/init.d/ssh",
    }
}

/// The names of the entries in a folder. Empty if the folder is missing.
fn list(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(why) => return Err(why),
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

#[cfg(test)]
mod tests;

//! The temporary view of the file system. Files written to /etc, /root, /run, /var/lib and /var/log are kept in memory, and no such
//! write must ever reach the machine. All other folders are the machine's own.

use std::fs;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::accounts::{Account, Accounts};
use crate::error::{StageError, Step};
use crate::packages::Unpacked;
use crate::privileges::Privileges;

/// Where the upper layers are made. They are hidden afterwards.
const SCRATCH: &str = "/run";

/// The folder for the stage's own files in the view, such as sockets.
pub(crate) const OWN: &str = "/run/stage";
/// Where Linux shows the hypervisor's DMI data.
const DMI: &str = "/sys/class/dmi/id";
/// The folder in [`OWN`] whose files are shown there.
const OWN_DMI: &str = "/run/stage/dmi";
/// The system vendor that the hypervisor of a Scaleway Instance shows.
const VENDOR: &str = "Scaleway";

/// Files that the machine may have, but a new Instance has not.
const LEFT_OUT: [&str; 7] = [
    "/etc/ssh/sshd_config",
    "/etc/ssh/sshd_config.d",
    "/etc/scw-agent.toml",
    "/etc/scw-agent.toml.d",
    "/etc/cloud",
    "/var/lib/cloud",
    AGENT_STATE,
];
const AGENT_STATE: &str = "/var/lib/scw-agent";
/// Settings for every world. A world has neither a default route nor a resolver, so the first script of a boot would wait for them. A
/// test of that wait writes its own drop-in, with a later name.
const OWN_SETTINGS: &str = "/run/scw-agent.toml.d/10-world.toml";

/// Makes the view for the calling thread, which must already be in its own mount namespace. Returns the daemon's account.
pub(crate) fn make(privileges: Privileges, packages: &[Unpacked]) -> Result<Account, StageError> {
    mount_at(None, "/", None, MsFlags::MS_REC | MsFlags::MS_PRIVATE, "")?;
    tmpfs(SCRATCH, "0755")?;
    let mut agent = write_etc_upper(Path::new(SCRATCH))?;
    overlay("/etc", 0o755, privileges)?;
    for (target, mode) in [("/var/lib", 0o755), ("/var/log", 0o755), ("/root", 0o700)] {
        if privileges == Privileges::UserNamespace {
            // The files belong to other users, and the kernel makes no overlay over a folder that has a mount inside.
            tmpfs(target, &format!("{mode:o}"))?;
        } else {
            overlay(target, mode, privileges)?;
        }
    }
    let unpacked: Vec<_> = packages.iter().filter_map(Unpacked::folder).collect();
    if !unpacked.is_empty() {
        overlay_packages(&unpacked)?;
    }
    overlay_dmi()?;
    // Programs in the world must not write to the machine's console.
    if Path::new("/dev/console").exists() {
        mount_at(Some("/dev/null"), "/dev/console", None, MsFlags::MS_BIND, "")?;
    }
    umount2(SCRATCH, MntFlags::MNT_DETACH).step("hide the upper layers")?;
    tmpfs(SCRATCH, "0755")?;

    remove_settings().step("remove the machine's own settings from the view")?;
    if privileges == Privileges::UserNamespace {
        agent = Account { uid: 0, gid: 0 };
    }
    fill(agent).step("fill the view")?;
    set_dmi(Some(VENDOR), None).step("write the DMI data")?;
    mount_at(Some(OWN_DMI), DMI, None, MsFlags::MS_BIND, "")?;
    Ok(agent)
}

/// Makes a folder for DMI data, since a machine may have none.
fn overlay_dmi() -> Result<(), StageError> {
    let class = Path::new(SCRATCH).join("class");
    make_dir(&class.join("dmi/id"), 0o755).step("make a folder for DMI data")?;
    let layers = format!("lowerdir={}:/sys/class", class.display());
    mount_at(Some("stage"), "/sys/class", Some("overlay"), MsFlags::empty(), &layers)
}

/// Writes the DMI data that the view shows: the system vendor, readable for all users, and the product UUID, readable for root.
pub(crate) fn set_dmi(vendor: Option<&str>, uuid: Option<&str>) -> io::Result<()> {
    make_dir(Path::new(OWN_DMI), 0o755)?;
    for (name, text, mode) in [("sys_vendor", vendor, 0o444), ("product_uuid", uuid, 0o400)] {
        let path = Path::new(OWN_DMI).join(name);
        match text {
            Some(text) => {
                fs::write(&path, format!("{text}\n"))?;
                fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
            }
            None if path.exists() => fs::remove_file(&path)?,
            None => {}
        }
    }
    Ok(())
}

fn mount_at(
    source: Option<&str>,
    target: &str,
    kind: Option<&str>,
    flags: MsFlags,
    options: &str,
) -> Result<(), StageError> {
    mount(source, target, kind, flags, Some(options))
        .step(format!("mount {}{target}", kind.unwrap_or_default()))
}

fn tmpfs(target: &str, mode: &str) -> Result<(), StageError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount_at(Some("stage"), target, Some("tmpfs"), flags, &format!("mode={mode}"))
}

/// The folder of the upper layer for `target`.
fn upper(target: &str) -> PathBuf {
    Path::new(SCRATCH).join(target.trim_start_matches('/').replace('/', "-"))
}

fn overlay(target: &str, mode: u32, privileges: Privileges) -> Result<(), StageError> {
    let upper = upper(target);
    let work = upper.with_extension("work");
    for folder in [&upper, &work] {
        make_dir(folder, mode).step("make an upper layer")?;
    }
    // In a user namespace the overlay cannot set trusted extended attributes, so it uses those of the user.
    let user = if privileges == Privileges::UserNamespace { ",userxattr" } else { "" };
    let options = format!("lowerdir={target},upperdir={},workdir={}{user}", upper.display(), work.display());
    mount_at(Some("stage"), target, Some("overlay"), MsFlags::empty(), &options)
}

/// Shows the unpacked packages as if they were installed. The overlay is read-only.
fn overlay_packages(unpacked: &[&Path]) -> Result<(), StageError> {
    let mut layers = String::from("lowerdir=");
    for (number, folder) in unpacked.iter().enumerate() {
        // The link's name has no colon and no comma, which have a meaning in mount options.
        let link = Path::new(SCRATCH).join(format!("package-{number}"));
        symlink(folder, &link).step("link an unpacked package")?;
        layers.push_str(&format!("{}/usr:", link.display()));
    }
    mount_at(Some("stage"), "/usr", Some("overlay"), MsFlags::empty(), &format!("{layers}/usr"))
}

/// Writes the account files to the upper layer before the overlay over /etc is mounted. In a user namespace the machine's own files
/// belong to nobody: they can be replaced, but not changed.
fn write_etc_upper(scratch: &Path) -> Result<Account, StageError> {
    let read = |path: &str| fs::read_to_string(path).step(format!("read {path}"));
    // Only root can read it. Without root it is not needed.
    let shadow = fs::read_to_string("/etc/shadow").unwrap_or_default();
    let accounts = Accounts::complete(read("/etc/passwd")?, read("/etc/group")?, &shadow);
    let etc = scratch.join("etc");
    let write = || -> io::Result<()> {
        make_dir(&etc.join("ssh"), 0o755)?;
        fs::write(etc.join("passwd"), &accounts.passwd)?;
        fs::write(etc.join("group"), &accounts.group)?;
        write_secret(&etc.join("shadow"), &accounts.shadow)
    };
    write().step("write the account files")?;
    Ok(accounts.agent)
}

fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

/// Removes host keys, settings and state of the machine from the view.
fn remove_settings() -> io::Result<()> {
    for entry in fs::read_dir("/etc/ssh")? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"ssh_host_")) {
            fs::remove_file(path)?;
        }
    }
    for path in LEFT_OUT.map(Path::new) {
        match path.symlink_metadata() {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(path)?,
            Ok(_) => fs::remove_file(path)?,
            Err(_) => {}
        }
    }
    Ok(())
}

/// Makes the folders that systemd makes for the units, and the stage's own folders.
fn fill(agent: Account) -> io::Result<()> {
    make_dir(Path::new(AGENT_STATE), 0o700)?;
    let own_class = format!("{OWN}/class/dmi/id");
    for (path, mode) in [
        ("/run/sshd", 0o755),
        ("/run/lock", 0o1777),
        ("/run/scw-agent", 0o755),
        ("/run/scw-agent-hostkeys", 0o755),
        ("/run/scw-agent-requests", 0o755),
        ("/run/scw-agent-requests/host-keys", 0o755),
        ("/run/scw-agent-requests/hostname", 0o755),
        ("/run/scw-agent-requests/ssh-keys", 0o755),
        ("/run/scw-agent-requests/setup", 0o755),
        (OWN, 0o755),
        ("/run/scw-agent.toml.d", 0o755),
        // Containers in the world need a folder for DMI data, too.
        (&own_class, 0o755),
    ] {
        make_dir(Path::new(path), mode)?;
    }
    fs::write(OWN_SETTINGS, "[setup]\nnetwork-wait = \"0s\"\n")?;
    let own_folders =
        ["host-keys", "hostname", "setup", "ssh-keys"].map(|name| format!("/run/scw-agent-requests/{name}"));
    for path in own_folders.iter().map(String::as_str).chain(["/run/scw-agent"]) {
        chown(path, Some(agent.uid), Some(agent.gid))?;
    }
    Ok(())
}

/// The effects of a reboot on files: /run is empty, except for the stage's own folder, and the boot id is new.
pub(crate) fn reboot(agent: Account) -> Result<(), StageError> {
    let renew = || -> io::Result<()> {
        for entry in fs::read_dir("/run")? {
            let entry = entry?;
            if entry.path() == Path::new(OWN) {
                continue;
            } else if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        fill(agent)?;
        // The kernel returns a new random id at each read.
        fs::write(Path::new(OWN).join("boot_id"), fs::read("/proc/sys/kernel/random/uuid")?)
    };
    renew().step("empty /run")?;
    let (source, target) = (format!("{OWN}/boot_id"), "/proc/sys/kernel/random/boot_id");
    mount_at(Some(&source), target, None, MsFlags::MS_BIND, "")
}

fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    fs::create_dir_all(path)?;
    // create_dir_all applies the umask.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

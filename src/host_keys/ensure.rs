//! Doing what [`super::plan`](mod@super::plan) decided, with the machine's own `ssh-keygen`.
//!
//! New keys are made in a folder beside the old ones, all types at once, synced, and renamed (law H2). Cut off at any
//! instant, this leaves each type's private key as it was or new and whole; a public key that got lost is derived by the next run.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::inspect::{Private, inspect};
use super::key_type::KeyType;
use super::plan::{Mending, Plan, Reason, plan};
use super::private_key::PrivateKey;
use super::public_key::PublicKey;
use crate::moment::Moment;
use crate::{files, random};

/// How the folder's name begins in which new keys are made.
const BESIDE: &str = ".scw-agent-new.";

/// What was done.
#[derive(Debug, Default)]
pub struct Ensured {
    /// Keys that were there and good.
    pub kept: Vec<KeyType>,
    /// Keys that were made.
    pub made: Vec<KeyType>,
    /// Keys that stayed, and what was mended around them.
    pub mended: Vec<(KeyType, Mending)>,
    /// What was no key, and the name that it has now.
    pub set_aside: Vec<PathBuf>,
    /// Keys of other types, which went because they were another Instance's.
    pub removed: Vec<PathBuf>,
    /// What could not be done; the other types were done all the same.
    pub failed: Vec<(KeyType, EnsureError)>,
}

impl Ensured {
    /// The work on several folders, as one.
    pub(super) fn add(&mut self, more: Self) {
        self.kept.extend(more.kept);
        self.made.extend(more.made);
        self.mended.extend(more.mended);
        self.set_aside.extend(more.set_aside);
        self.removed.extend(more.removed);
        self.failed.extend(more.failed);
    }
}

/// Why a key is not as it should be.
#[derive(Debug)]
pub enum EnsureError {
    /// The private key cannot be judged, so it is left alone.
    LeftAlone(Reason),
    /// `ssh-keygen` could not be started.
    NoKeygen(io::Error),
    /// `ssh-keygen` said no; its own words.
    Keygen(String),
    /// A file could not be written, synced or renamed.
    File(io::Error),
}

/// Which keys are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renew {
    /// Those that are missing or broken.
    OnlyBroken,
    /// All, and those of other types go: they are another Instance's, and known to it.
    All,
}

/// Brings the folder to where every one of `types` has a whole key.
pub fn ensure(folder: &Path, types: &[KeyType], renew: Renew) -> Ensured {
    let key_group = key_group();
    let mut done = Ensured::default();
    let mut to_make = Vec::new();
    clear_away(folder);
    if renew == Renew::All {
        to_make.extend(types.iter().map(|key_type| (*key_type, false)));
        make(folder, &to_make, key_group, &mut done);
        if done.failed.is_empty() {
            remove_others(folder, types, &mut done);
        }
        restore_labels(folder);
        return done;
    }
    for key_type in types {
        match judged(folder, *key_type, key_group) {
            Ok(Plan::Keep) => done.kept.push(*key_type),
            Ok(Plan::Make { set_aside }) => to_make.push((*key_type, set_aside)),
            Ok(Plan::Mend(mending)) => match mend(folder, *key_type, &mending) {
                Ok(()) => done.mended.push((*key_type, mending)),
                Err(why) => done.failed.push((*key_type, EnsureError::File(why))),
            },
            Ok(Plan::LeaveAlone(reason)) => done.failed.push((*key_type, EnsureError::LeftAlone(reason))),
            // Asked already.
            Ok(Plan::AskKeygen) => {}
            Err(why) => done.failed.push((*key_type, why)),
        }
    }
    if !to_make.is_empty() {
        make(folder, &to_make, key_group, &mut done);
    }
    if !done.made.is_empty() || !done.mended.is_empty() {
        restore_labels(folder);
    }
    done
}

/// Keys of types that are not wanted, after a clone: a private key that two machines have is nobody's.
fn remove_others(folder: &Path, types: &[KeyType], done: &mut Ensured) {
    let wanted: Vec<_> = types.iter().map(|key_type| key_type.file_name()).collect();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let key = name.strip_suffix(".pub").unwrap_or(&name);
        if name.starts_with("ssh_host_")
            && key.ends_with("_key")
            && !wanted.iter().any(|wanted| wanted == key)
        {
            match fs::remove_file(entry.path()) {
                Ok(()) => done.removed.push(entry.path()),
                Err(why) => tracing::error!(
                    "{} is another Instance's key and cannot be removed: {why}",
                    entry.path().display()
                ),
            }
        }
    }
}

/// The plan for one type; a key in an older form is shown to `ssh-keygen` first.
fn judged(folder: &Path, key_type: KeyType, key_group: Option<u32>) -> Result<Plan, EnsureError> {
    let mut files = inspect(folder, key_type);
    let first = plan(&files, key_group);
    if first != Plan::AskKeygen {
        return Ok(first);
    }
    let path = key_type.private_path(folder);
    let shown = keygen(["-y", "-P", "", "-f"].map(OsStr::new).into_iter().chain([path.as_os_str()]));
    let key = match shown.and_then(finish) {
        Ok(text) => std::str::from_utf8(&text).ok().and_then(|text| PublicKey::parse(text).ok()),
        Err(EnsureError::Keygen(_)) => None,
        Err(why) => return Err(why),
    };
    files.private = Private::Found(key.map_or(PrivateKey::Broken, PrivateKey::Whole));
    Ok(plan(&files, key_group))
}

fn mend(folder: &Path, key_type: KeyType, mending: &Mending) -> io::Result<()> {
    let private = key_type.private_path(folder);
    if mending.owner {
        chown(&private, Some(nix::unistd::geteuid().as_raw()), None)?;
    }
    if let Some(mode) = mending.mode {
        fs::set_permissions(&private, Permissions::from_mode(mode))?;
    }
    if let Some(key) = &mending.public_key {
        let line = format!("{} {}", key.key_text(), key.comment);
        files::write_whole(
            &key_type.public_path(folder),
            format!("{}\n", line.trim_end()).as_bytes(),
            0o644,
        )?;
    }
    Ok(())
}

fn make(folder: &Path, types: &[(KeyType, bool)], key_group: Option<u32>, done: &mut Ensured) {
    let beside = match workplace(folder) {
        Ok(beside) => beside,
        Err(why) => {
            // One error for all of them; io::Error cannot be cloned, so its text goes to each.
            let error = || EnsureError::File(io::Error::new(why.kind(), why.to_string()));
            done.failed.extend(types.iter().map(|(key_type, _)| (*key_type, error())));
            return;
        }
    };
    let started: Vec<_> =
        types.iter().map(|(key_type, aside)| (*key_type, *aside, start_keygen(&beside, *key_type))).collect();
    for (key_type, aside, child) in started {
        let moved = child.and_then(finish).and_then(|_| {
            if aside {
                done.set_aside.push(set_aside(&key_type.private_path(folder)).map_err(EnsureError::File)?);
            }
            move_in(&beside, folder, key_type, key_group).map_err(EnsureError::File)
        });
        match moved {
            Ok(()) => done.made.push(key_type),
            Err(why) => done.failed.push((key_type, why)),
        }
    }
    let _ = fs::remove_dir_all(&beside);
}

/// Gives what is no key another name: it is somebody's file all the same.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".broken-{}", Moment::now()));
    fs::rename(path, &name)?;
    Ok(name.into())
}

/// The group of programs that may read host keys, `ssh_keys`, on the distributions that have one (RHEL and its kin). The file is read
/// and not the name service, which a static program has none of.
fn key_group() -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| line.strip_prefix("ssh_keys:")?.split(':').nth(1)?.parse().ok())
}

/// Where SELinux is, a file that was renamed into its place has the label of where it was made.
fn restore_labels(folder: &Path) {
    if Path::new("/sys/fs/selinux/enforce").exists() {
        let told = Command::new("restorecon").arg("-R").arg(folder).stdin(Stdio::null()).status();
        if !told.is_ok_and(|status| status.success()) {
            tracing::warn!("restorecon failed: SELinux may keep sshd from {}", folder.display());
        }
    }
}

/// Removes what runs that were cut off left behind.
fn clear_away(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(BESIDE) {
            if let Err(why) = fs::remove_dir_all(entry.path()) {
                tracing::warn!(
                    "{} is left from an earlier run and cannot be removed: {why}",
                    entry.path().display()
                );
            }
        }
    }
}

/// An empty folder beside the keys.
fn workplace(folder: &Path) -> io::Result<PathBuf> {
    files::public_folder(folder)?;
    let beside = folder.join(format!("{BESIDE}{:08x}", random::generator().u32(..)));
    fs::DirBuilder::new().mode(0o700).create(&beside)?;
    Ok(beside)
}

fn start_keygen(beside: &Path, key_type: KeyType) -> Result<Child, EnsureError> {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let comment = format!("root@{}", host.to_string_lossy());
    let key_type_name = key_type.to_string();
    let options = ["-q", "-t", &key_type_name, "-N", "", "-C", &comment, "-f"].map(OsStr::new);
    keygen(options.into_iter().chain([key_type.private_path(beside).as_os_str()]))
}

fn keygen<'a>(arguments: impl Iterator<Item = &'a OsStr>) -> Result<Child, EnsureError> {
    let mut command = Command::new("ssh-keygen");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(EnsureError::NoKeygen)
}

/// Waits for `ssh-keygen`; its output on success, its complaint otherwise.
fn finish(child: Child) -> Result<Vec<u8>, EnsureError> {
    let output = child.wait_with_output().map_err(EnsureError::NoKeygen)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(EnsureError::Keygen(format!("{} ({complaint})", output.status)))
}

fn move_in(beside: &Path, folder: &Path, key_type: KeyType, key_group: Option<u32>) -> io::Result<()> {
    let (private, public) = (key_type.private_path(beside), key_type.public_path(beside));
    // Whatever the umask was: the private key for its owner only, the public key for everybody, the daemon above all.
    match key_group {
        Some(group) => {
            chown(&private, None, Some(group))?;
            fs::set_permissions(&private, Permissions::from_mode(0o640))?;
        }
        None => fs::set_permissions(&private, Permissions::from_mode(0o600))?,
    }
    fs::set_permissions(&public, Permissions::from_mode(0o644))?;
    File::open(&private)?.sync_all()?;
    File::open(&public)?.sync_all()?;
    // The public key of a private key that was lost must never be taken for the new one's.
    match fs::remove_file(key_type.public_path(folder)) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    fs::rename(private, key_type.private_path(folder))?;
    fs::rename(public, key_type.public_path(folder))?;
    files::sync_folder(folder)
}

impl EnsureError {
    /// Whether it is a matter of who runs this.
    pub fn is_permission(&self) -> bool {
        match self {
            Self::LeftAlone(Reason::Unreadable) => !nix::unistd::geteuid().is_root(),
            Self::File(why) | Self::NoKeygen(why) => why.kind() == io::ErrorKind::PermissionDenied,
            Self::LeftAlone(Reason::Locked) | Self::Keygen(_) => false,
        }
    }
}

impl fmt::Display for EnsureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftAlone(Reason::Unreadable) => {
                f.write_str("the private key cannot be read, and so is left alone")
            }
            Self::LeftAlone(Reason::Locked) => {
                f.write_str("the private key is behind a passphrase, so sshd cannot use it; it is left alone")
            }
            Self::NoKeygen(why) => write!(f, "ssh-keygen cannot be run: {why}"),
            Self::Keygen(why) => write!(f, "ssh-keygen failed: {why}"),
            Self::File(why) => write!(f, "the key cannot be put in place: {why}"),
        }
    }
}

impl std::error::Error for EnsureError {}

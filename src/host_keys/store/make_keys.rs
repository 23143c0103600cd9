//! Makes keys with the machine's own ssh-keygen (invariant H2): in a folder beside the old ones, all at once, synced, and
//! renamed. Cut off at any instant, this leaves each private key as it was, or new and whole.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::host_keys::store::error::HostKeyError;
use crate::host_keys::store::key_file::{KeyFile, public_path};
use crate::host_keys::store::plan::NewKey;
use crate::util::program;
use crate::util::program::{MAKE_TIMEOUT, ProgramOutput, RunningProgram, words};
use crate::util::time::Moment;
use crate::util::{files, random};

/// How the folder's name begins in which new keys are made.
const BESIDE: &str = ".scw-agent-new.";

/// A key to make.
pub(crate) struct KeyToMake<'a> {
    /// Where.
    pub(crate) file: &'a KeyFile,
    pub(crate) kind: &'a NewKey,
    /// What is there is kept under another name.
    pub(crate) set_aside: bool,
}

impl KeyToMake<'_> {
    fn folder(&self) -> &Path {
        self.file.target.parent().unwrap_or(Path::new("/"))
    }

    /// The new private key before it has its name.
    fn beside(&self, workplace: &Path) -> PathBuf {
        workplace.join(self.file.target.file_name().unwrap_or(OsStr::new("key")))
    }
}

/// Makes the keys, those of every folder side by side. For each of them: the name that what was there has now, or the error.
pub(crate) fn make(
    orders: &[KeyToMake<'_>],
    group: Option<u32>,
) -> Vec<Result<Option<PathBuf>, HostKeyError>> {
    let mut workplaces = BTreeMap::new();
    for order in orders {
        workplaces.entry(order.folder()).or_insert_with(|| workplace(order.folder()));
    }
    let start = |order: &KeyToMake<'_>| match &workplaces[order.folder()] {
        Ok(workplace) => start_keygen(&order.beside(workplace), order.kind),
        // One error for all of them; io::Error cannot be cloned, so its text goes to each.
        Err(why) => Err(file_error(order.folder(), io::Error::new(why.kind(), why.to_string()))),
    };
    let started: Vec<_> = orders.iter().map(start).collect();
    let finish = |(order, child): (&KeyToMake<'_>, Result<RunningProgram, HostKeyError>)| {
        let workplace = workplaces[order.folder()].as_ref();
        child.and_then(finished)?;
        let Ok(workplace) = workplace else { return Ok(None) };
        move_in(order, workplace, group).map_err(|why| file_error(order.folder(), why))
    };
    let made = orders.iter().zip(started).map(finish).collect();
    for workplace in workplaces.values().flatten() {
        let _ = fs::remove_dir_all(workplace);
    }
    made
}

fn file_error(folder: &Path, why: io::Error) -> HostKeyError {
    HostKeyError::File(folder.to_owned(), why)
}

/// An empty folder beside the keys, whose own folder is made if it is missing.
fn workplace(folder: &Path) -> io::Result<PathBuf> {
    if !folder.exists() {
        make_folder(folder)?;
    }
    roots_alone(folder)?;
    let beside = folder.join(format!("{BESIDE}{:08x}", random::generator().u32(..)));
    fs::DirBuilder::new().mode(0o700).create(&beside)?;
    Ok(beside)
}

/// Whether only root can exchange what is in a folder. Else another user could have root write, or give away, any file (invariant D3).
///
/// # Errors
/// When somebody else can, with what to do.
pub(crate) fn roots_alone(folder: &Path) -> io::Result<()> {
    let us = nix::unistd::geteuid().as_raw();
    for folder in folder.ancestors() {
        let there = fs::metadata(folder)?;
        let is_open = there.mode() & 0o002 != 0 && there.mode() & 0o1000 == 0;
        if is_open || (there.uid() != 0 && there.uid() != us) {
            let why =
                format!("other users can exchange what is in {}; give it to root alone", folder.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
    }
    Ok(())
}

/// Makes a folder with its parents, as everybody may enter them, so that they outlive a power cut.
fn make_folder(folder: &Path) -> io::Result<()> {
    let missing: Vec<_> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    files::public_folder(folder)?;
    for made in missing {
        made.parent().map_or(Ok(()), files::sync_folder)?;
    }
    Ok(())
}

fn start_keygen(path: &Path, kind: &NewKey) -> Result<RunningProgram, HostKeyError> {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let comment = format!("root@{}", host.to_string_lossy());
    let bits = kind.bits.map(|bits| bits.to_string());
    let mut options: Vec<&str> = vec!["-q", "-t", &kind.keygen_type, "-N", "", "-C", &comment];
    options.extend(bits.iter().flat_map(|bits| ["-b", bits]));
    let options = words(&options).chain([OsStr::new("-f"), path.as_os_str()]);
    program::start("ssh-keygen", options, b"", MAKE_TIMEOUT).map_err(HostKeyError::NoKeygen)
}

/// Whether ssh-keygen makes such keys: it is tried for types that not every OpenSSH has.
pub(crate) fn can_make(kind: &NewKey) -> bool {
    if ["rsa", "ecdsa", "ed25519"].contains(&&*kind.keygen_type) {
        return true;
    }
    let folder = std::env::temp_dir().join(format!("scw-agent-key-{:016x}", random::generator().u64(..)));
    let made = fs::DirBuilder::new().mode(0o700).create(&folder).is_ok()
        && start_keygen(&folder.join("key"), kind).and_then(finished).is_ok();
    let _ = fs::remove_dir_all(&folder);
    made
}

/// Waits for ssh-keygen; its complaint if it failed.
fn finished(child: RunningProgram) -> Result<(), HostKeyError> {
    let ProgramOutput { status, messages, .. } = child.finish().map_err(HostKeyError::NoKeygen)?;
    if status.success() { Ok(()) } else { Err(HostKeyError::Keygen(format!("{status} ({messages})"))) }
}

fn move_in(order: &KeyToMake<'_>, workplace: &Path, group: Option<u32>) -> io::Result<Option<PathBuf>> {
    let private = order.beside(workplace);
    let public = public_path(&private);
    // Whatever the umask was: the private key for its owner only, the public key for everybody.
    match group {
        Some(group) => {
            chown(&private, None, Some(group))?;
            fs::set_permissions(&private, Permissions::from_mode(0o640))?;
        }
        None => fs::set_permissions(&private, Permissions::from_mode(0o600))?,
    }
    fs::set_permissions(&public, Permissions::from_mode(0o644))?;
    File::open(&private)?.sync_all()?;
    File::open(&public)?.sync_all()?;
    let target = &order.file.target;
    let final_public = public_path(&order.file.path);
    make_room(&final_public)?;
    let aside = if order.set_aside { Some(set_aside(target)?) } else { None };
    // The public key of a private key that was lost must never be taken for the new one's.
    match fs::remove_file(&final_public) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    fs::rename(private, target)?;
    if final_public.parent() == target.parent() {
        fs::rename(public, &final_public)?;
    } else {
        // The private key's path is a link to another folder, perhaps another disk.
        files::write_whole(&final_public, &fs::read(public)?, 0o644)?;
    }
    files::sync_folder(order.folder())?;
    Ok(aside)
}

/// Gives what is no key another name: it is somebody's file all the same.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".broken-{}", Moment::now()));
    fs::rename(path, &name)?;
    Ok(name.into())
}

/// Gives a folder that is in the place of a `.pub` another name: no file can take its place.
pub(crate) fn make_room(public: &Path) -> io::Result<()> {
    if public.symlink_metadata().is_ok_and(|there| there.is_dir()) {
        let aside = set_aside(public)?;
        tracing::warn!("{} is a folder, and is kept as {}", public.display(), aside.display());
    }
    Ok(())
}

/// Where SELinux is, a file that was renamed into its place has the label of where it was made.
pub(crate) fn restore_labels(folder: &Path) {
    if Path::new("/sys/fs/selinux/enforce").exists() {
        let told = Command::new("restorecon").arg("-R").arg(folder).stdin(Stdio::null()).status();
        if !told.is_ok_and(|status| status.success()) {
            tracing::warn!("restorecon failed: SELinux may keep sshd from {}", folder.display());
        }
    }
}

/// Removes what runs that were cut off left behind.
pub(crate) fn clear_away(folder: &Path) {
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

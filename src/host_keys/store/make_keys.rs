//! Makes keys with the machine's own ssh-keygen (invariant H2).
//!
//! All keys are made at the same time, in a new folder beside the old keys. Each is synced to the disk and renamed as soon as it is made:
//! a slow RSA key must not keep sshd without the others. If the process is killed at any moment, each private key is either the old one or
//! complete and new.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread;

use crate::host_keys::store::error::HostKeyError;
use crate::host_keys::store::key_file::{KeyFile, public_path};
use crate::host_keys::store::plan::NewKey;
use crate::util::program::{self, MAKE_TIMEOUT, ProgramOutput, RunningProgram, words};
use crate::util::time::Moment;
use crate::util::{files, random};

/// The beginning of the name of the folder in which new keys are made.
const FOLDER_PREFIX: &str = ".scw-agent-new.";

/// A key to make.
pub(crate) struct KeyToMake<'a> {
    /// The file that the key replaces.
    pub(crate) file: &'a KeyFile,
    pub(crate) kind: &'a NewKey,
    /// Whether the existing file is kept under another name.
    pub(crate) set_aside: bool,
}

impl KeyToMake<'_> {
    fn folder(&self) -> &Path {
        self.file.target.parent().unwrap_or(Path::new("/"))
    }

    /// The path of the new private key before it is renamed.
    fn new_private_path(&self, new_folder: &Path) -> PathBuf {
        new_folder.join(self.file.target.file_name().unwrap_or(OsStr::new("key")))
    }
}

/// Makes the keys, all at the same time. Returns for each of them the new path of the file that it replaced, if that was set aside, or
/// the error.
pub(crate) fn make(keys: &[KeyToMake<'_>], group: Option<u32>) -> Vec<Result<Option<PathBuf>, HostKeyError>> {
    let mut new_folders = BTreeMap::new();
    for key in keys {
        new_folders.entry(key.folder()).or_insert_with(|| new_folder(key.folder()));
    }
    let start = |key: &KeyToMake<'_>| match &new_folders[key.folder()] {
        Ok(new_folder) => start_keygen(&key.new_private_path(new_folder), key.kind),
        // All keys of the folder get this error. io::Error cannot be cloned, so each gets a copy of the text.
        Err(why) => Err(file_error(key.folder(), io::Error::new(why.kind(), why.to_string()))),
    };
    let started: Vec<_> = keys.iter().map(start).collect();
    let mut made: Vec<_> = keys.iter().map(|_| Ok(None)).collect();
    for_each_ended(started, |index, ended| {
        let (key, new_folder) = (&keys[index], &new_folders[keys[index].folder()]);
        made[index] = ended.and_then(|()| match new_folder {
            Ok(new_folder) => install(key, new_folder, group).map_err(|why| file_error(key.folder(), why)),
            Err(_) => Ok(None),
        });
    });
    for new_folder in new_folders.values().flatten() {
        let _ = fs::remove_dir_all(new_folder);
    }
    made
}

fn file_error(folder: &Path, why: io::Error) -> HostKeyError {
    HostKeyError::File(folder.to_owned(), why)
}

/// Makes an empty folder beside the keys, and the folder of the keys if it is missing.
fn new_folder(folder: &Path) -> io::Result<PathBuf> {
    if !folder.exists() {
        make_folder(folder)?;
    }
    check_only_root_can_replace(folder)?;
    let path = folder.join(format!("{FOLDER_PREFIX}{:08x}", random::generator().u32(..)));
    fs::DirBuilder::new().mode(0o700).create(&path)?;
    Ok(path)
}

/// Checks that only root can replace files in a folder. Otherwise another user could make root write any file, or change its owner
/// (invariant D3).
///
/// # Errors
/// When another user can replace files there. The message says what to do.
pub(crate) fn check_only_root_can_replace(folder: &Path) -> io::Result<()> {
    let own_uid = nix::unistd::geteuid().as_raw();
    for folder in folder.ancestors() {
        let metadata = fs::metadata(folder)?;
        let is_open = metadata.mode() & 0o002 != 0 && metadata.mode() & 0o1000 == 0;
        if is_open || (metadata.uid() != 0 && metadata.uid() != own_uid) {
            let why = format!(
                "other users can replace files in {}; make it writable for root only",
                folder.display()
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
    }
    Ok(())
}

/// Makes a folder with its parents. Everybody may enter them, and they are synced so that they survive a power failure.
fn make_folder(folder: &Path) -> io::Result<()> {
    let missing: Vec<_> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    files::create_public_folder(folder)?;
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

/// Waits for all of them. Calls `with_ended` for each, with its index, in the order in which they end.
fn for_each_ended(
    started: Vec<Result<RunningProgram, HostKeyError>>,
    mut with_ended: impl FnMut(usize, Result<(), HostKeyError>),
) {
    thread::scope(|scope| {
        let (sender, ended) = channel();
        for (index, child) in started.into_iter().enumerate() {
            let sender = sender.clone();
            scope.spawn(move || sender.send((index, child.and_then(wait_for_keygen))));
        }
        drop(sender);
        ended.iter().for_each(|(index, ended)| with_ended(index, ended));
    });
}

/// Whether ssh-keygen can make such a key. For types that not every OpenSSH has, this makes one to find out.
pub(crate) fn can_make(kind: &NewKey) -> bool {
    if ["rsa", "ecdsa", "ed25519"].contains(&&*kind.keygen_type) {
        return true;
    }
    let folder = std::env::temp_dir().join(format!("scw-agent-key-{:016x}", random::generator().u64(..)));
    let made = fs::DirBuilder::new().mode(0o700).create(&folder).is_ok()
        && start_keygen(&folder.join("key"), kind).and_then(wait_for_keygen).is_ok();
    let _ = fs::remove_dir_all(&folder);
    made
}

/// Waits for ssh-keygen to end.
///
/// # Errors
/// When ssh-keygen failed, with its message.
fn wait_for_keygen(child: RunningProgram) -> Result<(), HostKeyError> {
    let ProgramOutput { status, messages, .. } = child.finish().map_err(HostKeyError::NoKeygen)?;
    if status.success() { Ok(()) } else { Err(HostKeyError::Keygen(format!("{status} ({messages})"))) }
}

fn install(key: &KeyToMake<'_>, new_folder: &Path, group: Option<u32>) -> io::Result<Option<PathBuf>> {
    let private = key.new_private_path(new_folder);
    let public = public_path(&private);
    // Independent of the umask: only the owner may read the private key, everybody may read the public key.
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
    let target = &key.file.target;
    let final_public = public_path(&key.file.path);
    move_folder_aside(&final_public)?;
    let aside = if key.set_aside { Some(set_aside(target)?) } else { None };
    // Removed first: the public key of a lost private key must never be taken for the public key of the new one.
    match fs::remove_file(&final_public) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    fs::rename(private, target)?;
    if final_public.parent() == target.parent() {
        fs::rename(public, &final_public)?;
    } else {
        // The private key's path is a link to another folder, perhaps another disk.
        files::write_atomic(&final_public, &fs::read(public)?, 0o644)?;
    }
    files::sync_folder(key.folder())?;
    Ok(aside)
}

/// Renames a file that is no key. It may still be of use to somebody, so it is not removed.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".broken-{}", Moment::now()));
    fs::rename(path, &name)?;
    Ok(name.into())
}

/// Renames a folder that has the path of a `.pub` file, because a file cannot replace a folder.
pub(crate) fn move_folder_aside(public: &Path) -> io::Result<()> {
    if public.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
        let aside = set_aside(public)?;
        tracing::warn!("{} is a folder; moved to {}", public.display(), aside.display());
    }
    Ok(())
}

/// Removes the folders of earlier runs that did not end.
pub(crate) fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(FOLDER_PREFIX) {
            if let Err(why) = fs::remove_dir_all(entry.path()) {
                tracing::warn!("cannot remove {} of an earlier run: {why}", entry.path().display());
            }
        }
    }
}

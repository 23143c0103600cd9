//! Doing what [`super::plan`] decided, with the machine's own `ssh-keygen`.
//!
//! New keys are made in a folder beside the old ones, all types at once, synced, and renamed (law H2). Cut off at any
//! instant, this leaves each type's private key as it was or new and whole; a public key that got lost is derived by the next run.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::inspect::{KeyState, inspect};
use super::key_type::KeyType;
use super::plan::{Action, action};
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
    /// Keys whose public half was derived again.
    pub derived: Vec<KeyType>,
    /// What could not be done; the other types were done all the same.
    pub failed: Vec<(KeyType, EnsureError)>,
}

/// Why a key is not as it should be.
#[derive(Debug)]
pub enum EnsureError {
    /// The private key cannot be read, so it is left alone.
    Unreadable(io::Error),
    /// `ssh-keygen` could not be started.
    NoKeygen(io::Error),
    /// `ssh-keygen` said no; its own words.
    Keygen(String),
    /// A file could not be written, synced or renamed.
    File(io::Error),
}

/// Brings the folder to where every one of `types` has a whole key.
pub fn ensure(folder: &Path, types: &[KeyType]) -> Ensured {
    let mut done = Ensured::default();
    let mut to_make = Vec::new();
    for key_type in types {
        let state = inspect(folder, *key_type);
        match (action(&state), state) {
            (Action::Keep, _) => done.kept.push(*key_type),
            (Action::Make, _) => to_make.push(*key_type),
            (Action::DerivePublicKey, _) => match derive_public_key(folder, *key_type) {
                Ok(()) => done.derived.push(*key_type),
                Err(why) => done.failed.push((*key_type, why)),
            },
            (Action::LeaveAlone, KeyState::Unreadable(why)) => {
                done.failed.push((*key_type, EnsureError::Unreadable(why)));
            }
            (Action::LeaveAlone, _) => {}
        }
    }
    if !to_make.is_empty() {
        make(folder, &to_make, &mut done);
    }
    done
}

fn make(folder: &Path, types: &[KeyType], done: &mut Ensured) {
    let beside = match workplace(folder) {
        Ok(beside) => beside,
        Err(why) => {
            // One error for all of them; io::Error cannot be cloned, so its text goes to each.
            let each = |key_type: &KeyType| {
                (*key_type, EnsureError::File(io::Error::new(why.kind(), why.to_string())))
            };
            done.failed.extend(types.iter().map(each));
            return;
        }
    };
    let started: Vec<_> =
        types.iter().map(|key_type| (*key_type, start_keygen(&beside, *key_type))).collect();
    for (key_type, child) in started {
        match child
            .and_then(finish)
            .and_then(|_| move_in(&beside, folder, key_type).map_err(EnsureError::File))
        {
            Ok(()) => done.made.push(key_type),
            Err(why) => done.failed.push((key_type, why)),
        }
    }
    let _ = fs::remove_dir_all(&beside);
}

/// An empty folder beside the keys; what earlier runs left behind goes.
fn workplace(folder: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(BESIDE) {
            fs::remove_dir_all(entry.path())?;
        }
    }
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

fn move_in(beside: &Path, folder: &Path, key_type: KeyType) -> io::Result<()> {
    let (private, public) = (key_type.private_path(beside), key_type.public_path(beside));
    // Whatever the umask was: the private key for its owner only, the public key for everybody, the daemon above all.
    fs::set_permissions(&private, Permissions::from_mode(0o600))?;
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

fn derive_public_key(folder: &Path, key_type: KeyType) -> Result<(), EnsureError> {
    let private = key_type.private_path(folder);
    let public =
        finish(keygen(["-y", "-P", "", "-f"].map(OsStr::new).into_iter().chain([private.as_os_str()]))?)?;
    files::write_whole(&key_type.public_path(folder), &public, 0o644).map_err(EnsureError::File)
}

impl fmt::Display for EnsureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "the private key cannot be read, and so is left alone: {why}"),
            Self::NoKeygen(why) => write!(f, "ssh-keygen cannot be run: {why}"),
            Self::Keygen(why) => write!(f, "ssh-keygen failed: {why}"),
            Self::File(why) => write!(f, "the key cannot be put in place: {why}"),
        }
    }
}

impl std::error::Error for EnsureError {}

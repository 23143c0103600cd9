//! The public keys of the Instances that a disk belonged to. With them, an owner can find out what happened to a fingerprint.
//!
//! Each renewal of the host keys saves one set: a folder whose name is the time. At most [`MAX_SETS`] sets are kept. The folder of the
//! sets belongs to root and has no other content, so entries with other names are removed first.

use std::cmp::Reverse;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::host_keys::store::key_file::public_path;
use crate::host_keys::store::served::LocalKey;
use crate::util::files;
use crate::util::time::Moment;

/// How many sets are kept.
const MAX_SETS: usize = 5;
/// Longer than any line of a public key.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// Saves the public keys that could be read as a new set; returns its folder, or `None` if there are no such keys. If the latest set has all
/// of them already, no new one is made: a renewal may take several attempts.
pub(crate) fn save(folder: &Path, keys: &[LocalKey]) -> io::Result<Option<PathBuf>> {
    let file = |local: &LocalKey| Some((public_path(&local.path).file_name()?.to_owned(), line(local)?));
    let keys: Vec<_> = keys.iter().filter_map(file).collect();
    if keys.is_empty() {
        return Ok(None);
    }
    if let Some(latest) = sets(folder)?.into_iter().next() {
        let is_kept = |(name, line): &(_, String)| {
            let kept = files::read_bounded(&latest.join(name), MAX_LINE_BYTES);
            kept.is_ok_and(|kept| kept.is_some_and(|kept| kept == line.as_bytes()))
        };
        if keys.iter().all(is_kept) {
            return Ok(Some(latest));
        }
    }
    let set = folder.join(Moment::now().to_string());
    files::create_private_folder(&set)?;
    for (name, line) in keys {
        files::write_atomic(&set.join(name), line.as_bytes(), 0o644)?;
    }
    Ok(Some(set))
}

/// Removes the oldest sets until [`MAX_SETS`] remain. `latest` is the set of this run. It stays whatever time is in its name, because the
/// clock may be wrong.
pub(crate) fn prune(folder: &Path, latest: Option<&Path>) -> io::Result<()> {
    let mut sets = sets(folder)?;
    // This sort is stable: all others stay in their order.
    sets.sort_by_key(|set| latest != Some(set));
    for set in sets.iter().skip(MAX_SETS) {
        // A link is removed, not its target.
        let is_folder = set.symlink_metadata()?.is_dir();
        if is_folder {
            fs::remove_dir_all(set)?
        } else {
            fs::remove_file(set)?
        }
        tracing::info!("removed {set:?}; at most {MAX_SETS} sets of old public keys are kept");
    }
    Ok(())
}

/// All entries of the folder: the latest set first, entries that are no set last.
fn sets(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(why),
    };
    let mut sets = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let time = |set: &PathBuf| {
        let name = set.file_name()?.to_str()?;
        Moment::try_from(name.to_owned()).ok().filter(|moment| moment.to_string() == name)
    };
    sets.sort_by_cached_key(|set| Reverse((time(set), set.clone())));
    Ok(sets)
}

fn line(local: &LocalKey) -> Option<String> {
    let key = local.key.as_ref()?;
    Some(format!("{} {}\n", key.key_text(), key.comment))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::host_keys::key::public_key::PublicKey;
    use crate::util::random;

    fn keys(comment: &str) -> Vec<LocalKey> {
        let text = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB";
        let key = PublicKey::parse(&format!("{text} {comment}")).ok();
        vec![LocalKey { path: "/x/a".into(), key, served: true }]
    }

    #[test]
    fn h1_five_old_sets_are_kept_whatever_their_names() {
        let folder = std::env::temp_dir().join(format!("scw-agent-old-{:x}", random::generator().u64(..)));
        prune(&folder, None).expect("no folder is no error");
        assert_eq!(save(&folder, &[]).expect("kept"), None);
        let mut set = None;
        for number in 0..7 {
            let kept = save(&folder, &keys(&number.to_string())).expect("kept").expect("a set");
            assert_ne!(set.as_ref(), Some(&kept), "another key, another set");
            assert_eq!(
                save(&folder, &keys(&number.to_string())).expect("kept").as_ref(),
                Some(&kept),
                "once"
            );
            prune(&folder, Some(&kept)).expect("pruned");
            assert_eq!(fs::read_dir(&folder).expect("listed").count(), (number + 1).min(MAX_SETS));
            set = Some(kept);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        // Invented names: a time in the future, no time, no text; a link and a file.
        fs::create_dir(folder.join("9999-12-31T23:59:59.999Z")).expect("made");
        fs::create_dir(folder.join(std::ffi::OsStr::from_bytes(b"\xff\x1b[2J\n"))).expect("made");
        fs::write(folder.join("zzz"), "").expect("written");
        symlink("/etc", folder.join("9999-12-30T23:59:59.999Z")).expect("linked");
        fs::create_dir(folder.join("9999-12-29 23:59:59.999")).expect("made");
        let kept = save(&folder, &keys("last")).expect("kept").expect("a set");
        prune(&folder, Some(&kept)).expect("pruned");
        let remaining = sets(&folder).expect("listed");
        assert!(
            remaining.len() == MAX_SETS
                && remaining.contains(&kept)
                && remaining.contains(&set.expect("one")),
            "{remaining:?}"
        );
        assert!(fs::exists("/etc/passwd").expect("looked"));
        fs::remove_dir_all(folder).expect("removed");
    }
}

//! Makes sshd read the managed keys: a drop-in with sshd's own patterns of `AuthorizedKeysFile` and, last, the file of the managed keys.
//!
//! The drop-in is about root alone (`Match User root`). It repeats what applies without it, and is written anew when that changes. sshd
//! itself says what that is, by its configuration for another user, and whether the drop-in is in force. If it is not, it is removed.
//! sshd is reloaded, never restarted, and only if `sshd -t` succeeds. No person's file is changed here (invariant K1).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64ct::{Base64Unpadded, Encoding};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::account_keys::authorized_keys;
use crate::account_keys::paths::AccountKeyPaths;
use crate::host_keys::paths::HostKeyPaths;
use crate::host_keys::sshd::config::SshdConfig;
use crate::host_keys::sshd::options::SshdOptions;
use crate::host_keys::sshd::process::{self, ReloadError};
use crate::host_keys::sshd::query::{self, QueryError};
use crate::util::files;
use crate::util::labels::restore_labels;

const HEADER: &str = "# Written by scw-agent ([ssh-keys] in /etc/scw-agent.toml). It repeats what the other files say, and replaces this file.\n";
/// A Match in an included file ends with that file.
const MATCH: &str = "Match User root\n";
const KEYWORD: &str = "    AuthorizedKeysFile ";
const MAX_BYTES: u64 = 64 * 1024;

/// Why sshd does not read the managed keys.
#[derive(Debug, Error)]
pub(crate) enum NotInForce {
    /// There is no OpenSSH server.
    #[error("there is no sshd")]
    NoSshd,
    /// sshd does not accept its configuration, with or without the drop-in.
    #[error("{0}; fix sshd's configuration, then run `scw-agent ssh-keys apply`")]
    Query(#[from] QueryError),
    /// A configuration file cannot be read or written.
    #[error("{}: {}", .0.display(), .1)]
    File(PathBuf, #[source] io::Error),
    /// `AuthorizedKeysFile` stands below a `Match`, and the drop-in is not there yet.
    #[error("sshd's configuration sets AuthorizedKeysFile below a Match; add {0} to its lines yourself")]
    Conditional(String),
    /// `AuthorizedKeysFile none`.
    #[error("sshd's configuration switches files with keys off (AuthorizedKeysFile none)")]
    SwitchedOff,
    /// A pattern that cannot be repeated safely.
    #[error(
        "sshd's configuration has an AuthorizedKeysFile with a blank, a quote, a backslash or a #; add {0} to it yourself"
    )]
    OddPattern(String),
    /// Another Match comes first, or the drop-in is not included.
    #[error("another Match of sshd's configuration decides on root's AuthorizedKeysFile, or {} is not included; add {pattern} to that line yourself", drop_in.display())]
    NotUsed {
        /// The drop-in.
        drop_in: PathBuf,
        /// The pattern of the managed keys.
        pattern: String,
    },
    /// Somebody has edited the drop-in.
    #[error("{} was edited; move your lines to another file and remove it, then run `scw-agent ssh-keys apply`", .0.display())]
    Edited(PathBuf),
    /// sshd refuses the agent's own file (StrictModes).
    #[error("sshd does not read {}: others than root could change it or a folder above it", .0.display())]
    FileRefused(PathBuf),
    /// Without the drop-in, sshd would not read the file that has the keys.
    #[error("without {} sshd would not read the file with the keys, so it stays", .0.display())]
    StillNeeded(PathBuf),
    /// The managed keys are in root's own file, which sshd does not read.
    #[error("sshd does not read {}: its configuration names other files, or others than root could change it", .0.display())]
    OwnFileNotRead(PathBuf),
    /// sshd uses the drop-in from its next start on.
    #[error(transparent)]
    Reload(#[from] ReloadError),
}

/// What sshd says of its configuration for root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Printed(pub(crate) String);

impl Printed {
    /// The patterns of `AuthorizedKeysFile`. A pattern with a blank is two words here.
    pub(crate) fn patterns(&self) -> Option<&str> {
        let setting = |line: &'_ str| line.split_once(' ').map(|(name, _)| name.to_ascii_lowercase());
        let line = self.0.lines().find(|line| setting(line).as_deref() == Some("authorizedkeysfile"))?;
        line.split_once(' ').map(|(_, value)| value)
    }

    /// Whether sshd refuses files that others than their user could change.
    pub(crate) fn is_strict(&self) -> bool {
        !self.0.lines().any(|line| line.eq_ignore_ascii_case("strictmodes no"))
    }

    /// Whether sshd reads the managed keys for root.
    pub(crate) fn has_managed_keys(&self, paths: &AccountKeyPaths) -> bool {
        let file = paths.file.display().to_string();
        let is_own = |pattern: &str| *pattern == *paths.pattern || *pattern == *file;
        self.patterns().is_some_and(|patterns| patterns.split_whitespace().any(is_own))
    }
}

/// Has sshd read the managed keys. If that is so already, nothing is written and sshd is not reloaded. Returns sshd's configuration for
/// root as sshd prints it.
///
/// # Errors
/// See [`NotInForce`]. Then the drop-in is as it was before, or removed if it is not in force.
pub(crate) fn put_in_force(paths: &AccountKeyPaths, sshd: &HostKeyPaths) -> Result<Printed, NotInForce> {
    let options = SshdOptions::read();
    if !Path::new(&options.program).exists() {
        return Err(NotInForce::NoSshd);
    }
    let before = read(&paths.drop_in)?;
    if before.as_ref().is_some_and(|text| !is_own_text(text)) {
        return Err(NotInForce::Edited(paths.drop_in.clone()));
    }
    let (config, configuration) = read_without_drop_in(paths, sshd, &options)?;
    if before.is_none() {
        // An administrator's own line may have the pattern, as the messages below say.
        let printed = Printed(query::configuration_for("root", sshd, &options)?);
        if printed.has_managed_keys(paths) {
            reload(paths, sshd, false)?;
            return Ok(printed);
        }
        if is_refused(paths, &configuration) {
            return Err(paths.not_used());
        }
    }
    // The drop-in is about root alone, so another user has what root would have without it.
    let others = Printed(query::configuration_for("nobody", sshd, &options)?);
    let text = match (new_text(&config, &others, paths, before.is_some()), before.clone()) {
        (Ok(text), _) => text.into_bytes(),
        (Err(why), None) => return Err(why),
        // What applies to root without the drop-in is not known. It stays, and goes on repeating what applied.
        (Err(why), Some(before)) => {
            tracing::warn!("{} is not brought up to date: {why}", paths.drop_in.display());
            before
        }
    };
    let is_new = before.as_deref() != Some(&text);
    if is_new {
        query::check(&options.words)?;
        note_reload(paths);
        write(&paths.drop_in, &text)?;
    }
    let printed = query::configuration_for("root", sshd, &options).map(Printed);
    if let Ok(printed) = printed.as_ref().map(Clone::clone) {
        if printed.has_managed_keys(paths) {
            reload(paths, sshd, is_new)?;
            return Ok(printed);
        }
    }
    if is_new {
        // sshd has not read the new text yet.
        let _ = fs::remove_file(&paths.reload_pending);
    }
    let old_text = before.as_deref().filter(|_| is_new);
    match (&before, printed) {
        // Written only if it differs: the daemon takes each write for a change of the configuration.
        (Some(_), Err(why)) => {
            old_text.map_or(Ok(()), |text| write(&paths.drop_in, text))?;
            Err(why.into())
        }
        (_, printed) => Err(remove_without_effect(paths, printed.err(), &configuration)),
    }
}

/// Removes a drop-in that has no effect.
fn remove_without_effect(
    paths: &AccountKeyPaths,
    why: Option<QueryError>,
    configuration: &str,
) -> NotInForce {
    if let Err(why) = fs::remove_file(&paths.drop_in) {
        return NotInForce::File(paths.drop_in.clone(), why);
    }
    why.map_or_else(
        || {
            note_refused(paths, configuration);
            paths.not_used()
        },
        NotInForce::from,
    )
}

impl AccountKeyPaths {
    fn not_used(&self) -> NotInForce {
        NotInForce::NotUsed { drop_in: self.drop_in.clone(), pattern: self.pattern.clone() }
    }
}

/// The text of the drop-in that repeats what root would have without it.
fn new_text(
    config: &SshdConfig,
    others: &Printed,
    paths: &AccountKeyPaths,
    is_there: bool,
) -> Result<String, NotInForce> {
    // A Match may be about root.
    if config.has_conditional_keys_files {
        return Err(NotInForce::Conditional(paths.pattern.clone()));
    }
    // sshd prints no quotes, so a pattern with a blank cannot be told from two.
    let has_blank = |pattern: &String| pattern.contains(char::is_whitespace);
    if config.authorized_keys_files.as_ref().is_some_and(|patterns| patterns.iter().any(has_blank)) {
        return Err(NotInForce::OddPattern(paths.pattern.clone()));
    }
    drop_in_text(others, paths, is_there)
}

/// The text of the drop-in.
fn drop_in_text(others: &Printed, paths: &AccountKeyPaths, is_there: bool) -> Result<String, NotInForce> {
    let value = others.patterns().unwrap_or_default();
    // Where files are switched off, an existing drop-in keeps the way in that root has.
    let is_off = value.is_empty() || value.eq_ignore_ascii_case("none");
    if is_off && !is_there {
        return Err(NotInForce::SwitchedOff);
    }
    if value.contains(|c: char| c.is_control() || "\"'\\#".contains(c)) {
        return Err(NotInForce::OddPattern(paths.pattern.clone()));
    }
    let others = value.split_whitespace().filter(|pattern| !is_off && *pattern != paths.pattern);
    let patterns: Vec<_> = others.chain([&*paths.pattern]).collect();
    Ok(format!("{HEADER}{MATCH}{KEYWORD}{}\n", patterns.join(" ")))
}

/// Whether nobody has edited the drop-in.
fn is_own_text(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let line = text.strip_prefix(HEADER).and_then(|rest| rest.strip_prefix(MATCH)?.strip_prefix(KEYWORD));
    line.is_some_and(|line| line.lines().count() == 1)
}

/// Whether the drop-in was not used with this configuration. It is not tried again: each try changes sshd's folder.
fn is_refused(paths: &AccountKeyPaths, configuration: &str) -> bool {
    let noted = files::read_bounded(&paths.refused, MAX_BYTES).ok().flatten();
    noted.is_some_and(|noted| noted == configuration.as_bytes())
}

fn note_refused(paths: &AccountKeyPaths, configuration: &str) {
    let folder = paths.refused.parent().map_or(Ok(()), files::create_private_subfolder);
    let noted = folder.and_then(|()| files::write_atomic(&paths.refused, configuration.as_bytes(), 0o600));
    if let Err(why) = noted {
        tracing::warn!("cannot write {}: {why}", paths.refused.display());
    }
}

/// Removes the drop-in, if sshd's configuration for root is good enough without it. Otherwise it stays, and sshd is not reloaded.
///
/// # Errors
/// If somebody has edited it, it cannot be removed, it is still needed, or sshd cannot be reloaded.
pub(crate) fn take_back(
    paths: &AccountKeyPaths,
    sshd: &HostKeyPaths,
    is_enough: impl Fn(&Printed) -> bool,
) -> Result<(), NotInForce> {
    let Some(text) = read(&paths.drop_in)? else { return reload(paths, sshd, false) };
    if !is_own_text(&text) {
        return Err(NotInForce::Edited(paths.drop_in.clone()));
    }
    note_reload(paths);
    fs::remove_file(&paths.drop_in).map_err(|why| NotInForce::File(paths.drop_in.clone(), why))?;
    let options = SshdOptions::read();
    let printed = match Path::new(&options.program).exists() {
        true => query::configuration_for("root", sshd, &options).map(|printed| is_enough(&Printed(printed))),
        false => Ok(true),
    };
    match printed {
        Ok(true) => reload(paths, sshd, true),
        not_enough => {
            write(&paths.drop_in, &text)?;
            let _ = fs::remove_file(&paths.reload_pending);
            Err(not_enough.map_or_else(NotInForce::from, |_| NotInForce::StillNeeded(paths.drop_in.clone())))
        }
    }
}

/// Notes that sshd must be reloaded, in case this process is killed before it does that.
fn note_reload(paths: &AccountKeyPaths) {
    let folder = paths.reload_pending.parent().map_or(Ok(()), files::create_private_subfolder);
    if let Err(why) = folder.and_then(|()| files::write_atomic(&paths.reload_pending, b"", 0o600)) {
        tracing::warn!("cannot write {}: {why}", paths.reload_pending.display());
    }
}

/// Reloads sshd if its configuration is new, or was when a run was killed.
fn reload(paths: &AccountKeyPaths, sshd: &HostKeyPaths, is_new: bool) -> Result<(), NotInForce> {
    if is_new || paths.reload_pending.exists() {
        process::reload(&sshd.sshd_pid, true)?;
        let _ = fs::remove_file(&paths.reload_pending);
        tracing::info!("sshd was reloaded, because {} has changed", paths.drop_in.display());
    }
    Ok(())
}

/// sshd's configuration as if the drop-in was not there, and a digest of its text.
fn read_without_drop_in(
    paths: &AccountKeyPaths,
    sshd: &HostKeyPaths,
    options: &SshdOptions,
) -> Result<(SshdConfig, String), NotInForce> {
    let main = options.config.clone().unwrap_or_else(|| sshd.keys.join("sshd_config"));
    let read = SshdConfig::read_except(&main, &options.lines, Some(&paths.drop_in));
    let (config, texts) = read.map_err(|why| NotInForce::File(main, why))?.unwrap_or_default();
    let mut digest = Sha256::new();
    for text in texts.iter().chain(&options.words) {
        digest.update(text.len().to_le_bytes());
        digest.update(text);
    }
    Ok((config, Base64Unpadded::encode_string(&digest.finalize())))
}

/// What sshd prints about root.
///
/// # Errors
/// If there is no sshd, or it does not print its configuration.
pub(crate) fn printed_for_root(sshd: &HostKeyPaths) -> Result<Printed, NotInForce> {
    let options = SshdOptions::read();
    if !Path::new(&options.program).exists() {
        return Err(NotInForce::NoSshd);
    }
    Ok(Printed(query::configuration_for("root", sshd, &options)?))
}

/// The files of root alone that sshd reads by these patterns, apart from the managed keys.
pub(crate) fn files_of_root(printed: &Printed, paths: &AccountKeyPaths, home: &Path) -> Vec<PathBuf> {
    let own = paths.file.display().to_string();
    let others = printed.patterns().unwrap_or_default().split_whitespace();
    let others = others.filter(|pattern| *pattern != paths.pattern && *pattern != own);
    let others = others.filter(|pattern| !pattern.eq_ignore_ascii_case("none"));
    others.filter_map(|pattern| authorized_keys::file_of_root(pattern, home)).collect()
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, NotInForce> {
    files::read_bounded(path, MAX_BYTES).map_err(|why| NotInForce::File(path.to_owned(), why))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), NotInForce> {
    files::write_atomic(path, bytes, 0o644).map_err(|why| NotInForce::File(path.to_owned(), why))?;
    restore_labels(path);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_others_come_first() {
        let paths = AccountKeyPaths::default();
        let own = &paths.pattern;
        let of = |value: &str, is_there| -> Result<String, String> {
            let others = Printed(format!("port 22\nauthorizedkeysfile {value}\n"));
            let text = drop_in_text(&others, &paths, is_there).map_err(|why| why.to_string())?;
            assert!(is_own_text(text.as_bytes()), "{text}");
            Ok(text.lines().last().unwrap_or_default().trim().to_owned())
        };
        for (value, is_there, expected) in [
            (".ssh/a .ssh/b", false, format!("AuthorizedKeysFile .ssh/a .ssh/b {own}")),
            (&format!("/a {own} /b"), true, format!("AuthorizedKeysFile /a /b {own}")),
            ("none", true, format!("AuthorizedKeysFile {own}")),
        ] {
            assert_eq!(of(value, is_there), Ok(expected), "{value}");
        }
        for (value, is_there, part) in [
            ("none", false, "switches files with keys off"),
            ("/a\"b", true, "a quote"),
            ("/a\\b", true, "a backslash"),
        ] {
            let why = of(value, is_there).expect_err(value);
            assert!(why.contains(part), "{why}");
        }
        for edited in ["", "Port 22\n", &format!("{HEADER}{MATCH}{KEYWORD}/a\nPort 23\n")] {
            assert!(!is_own_text(edited.as_bytes()), "{edited}");
        }
    }

    #[test]
    fn files_of_root_are_those_that_sshd_prints() {
        let paths = AccountKeyPaths::default();
        let own = paths.pattern.clone();
        for (printed, has_managed_keys, files) in [
            (String::new(), false, &[][..]),
            ("port 22\nauthorizedkeysfile none\n".to_owned(), false, &[]),
            (format!("AuthorizedKeysFile /k/%u {own}\n"), true, &["/k/root"]),
            (format!("authorizedkeysfile {own}\n"), true, &[]),
        ] {
            let printed = Printed(printed);
            assert_eq!(printed.has_managed_keys(&paths), has_managed_keys, "{printed:?}");
            let found = files_of_root(&printed, &paths, Path::new("/root"));
            assert_eq!(found, files.iter().map(PathBuf::from).collect::<Vec<_>>(), "{printed:?}");
        }
    }
}

//! Asks sshd which host keys it is configured with (invariant H3).
//!
//! `sshd -G` (OpenSSH 9.3 and later) prints the configuration without its keys. Before that, `sshd -T` does, if it is given a
//! key that it can load: a throw-away one, since its own may be missing. The answer is kept with a digest of everything that it
//! depends on, so that a later boot with nothing changed starts nothing.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64ct::{Base64Unpadded, Encoding};
use sha2::{Digest, Sha256};

use crate::host_keys::paths::HostKeyPaths;
use crate::host_keys::sshd::cache::OpensshAnswers;
use crate::host_keys::sshd::config::SshdConfig;
use crate::host_keys::sshd::effective::{ConfigSource, EffectiveHostKeys, is_conventional};
use crate::host_keys::sshd::options::SshdOptions;
use crate::util::program;
use crate::util::program::{ProgramOutput, stamp, words};
use crate::util::{files, random};

/// How the name of the folder begins in which the throw-away key is.
const THROW_AWAY: &str = ".throw-away-key.";

/// Why sshd gave no answer.
#[derive(Debug)]
pub(crate) enum QueryError {
    /// It cannot be started, or the throw-away key cannot be made.
    NotStarted(io::Error),
    /// It refuses its configuration; its own words.
    Refused(String),
    /// It names a key whose path is no UTF-8.
    NoText,
}

/// sshd's answer, the one that was kept if it still holds; this program's own reading where there is no sshd, or it gives no
/// answer: then the error says why.
pub(crate) fn effective(
    places: &HostKeyPaths,
    answers: &mut OpensshAnswers,
) -> (EffectiveHostKeys, Option<QueryError>) {
    let options = SshdOptions::read();
    if !Path::new(&options.program).exists() {
        return (by_files(places, &options), None);
    }
    // Without a question, sshd is asked each time.
    let question = question(places, &options).ok();
    if let Some(answer) = question.as_ref().and_then(|question| answers.sshd(question)) {
        return (answer.clone(), None);
    }
    match ask(places, &options) {
        Ok(answer) => {
            if let Some(question) = question {
                answers.set_sshd(question, answer.clone());
            }
            (answer, None)
        }
        Err(why) => (by_files(places, &options), Some(why)),
    }
}

/// By this program's reading of the files.
fn by_files(places: &HostKeyPaths, options: &SshdOptions) -> EffectiveHostKeys {
    let mut config = match SshdConfig::read(&config_path(places, options), &options.lines) {
        Ok(Some((config, _))) => config,
        Ok(None) if options.lines.is_empty() => return by_name(&places.keys),
        Ok(None) => SshdConfig::default(),
        Err(why) => {
            tracing::warn!("sshd's configuration cannot be read, so its defaults are assumed: {why}");
            SshdConfig::default()
        }
    };
    if let Some(keys) = defaults(options).filter(|_| !config.names_keys) {
        (config.names_keys, config.host_keys) = (true, keys);
    }
    EffectiveHostKeys::configured(config, ConfigSource::Files, &places.keys)
}

/// The host keys that this sshd has without a line that names any; `None` where it cannot tell (before OpenSSH 9.3), or is not there.
fn defaults(options: &SshdOptions) -> Option<Vec<PathBuf>> {
    let output = program::run(&options.program, words(&["-G", "-f", "/dev/null"]), b"").ok()?;
    let printed = SshdConfig::parse_printed(std::str::from_utf8(&output.stdout).ok()?);
    printed.names_keys.then_some(printed.host_keys)
}

/// Without sshd: its default keys, and what else has the name of one.
fn by_name(folder: &Path) -> EffectiveHostKeys {
    let mut paths = crate::host_keys::sshd::effective::default_files(folder);
    paths.extend(conventional_keys(folder));
    EffectiveHostKeys::by_name(paths)
}

/// The private keys of a folder by their names; none where it cannot be listed.
pub(crate) fn conventional_keys(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_key = |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(is_conventional);
    entries.filter(is_key).map(|entry| entry.path()).collect()
}

fn config_path(places: &HostKeyPaths, options: &SshdOptions) -> PathBuf {
    options.config.clone().unwrap_or_else(|| places.keys.join("sshd_config"))
}

/// Everything that the answer depends on, as one digest: the program, its options, every file of its configuration, and the
/// kernel's switch for certified algorithms.
fn question(places: &HostKeyPaths, options: &SshdOptions) -> io::Result<String> {
    let program = (&options.program, stamp(&options.program).ok_or(io::ErrorKind::NotFound)?);
    let fips = files::read_bounded(&places.fips, 16)?;
    let read = SshdConfig::read(&config_path(places, options), &options.lines)?;
    let texts = read.map(|(_, texts)| texts).unwrap_or_default();
    let all = serde_json::to_vec(&(env!("CARGO_PKG_VERSION"), program, &options.words, fips, texts))?;
    Ok(Base64Unpadded::encode_string(&Sha256::digest(all)))
}

fn ask(places: &HostKeyPaths, options: &SshdOptions) -> Result<EffectiveHostKeys, QueryError> {
    let given = || options.words.iter().map(OsStr::new);
    let run = |arguments: Vec<&OsStr>| {
        program::run(&options.program, arguments, b"").map_err(QueryError::NotStarted)
    };
    let output = run(words(&["-G"]).chain(given()).collect())?;
    if output.status.success() {
        is_text(&output)?;
        return Ok(answer(&output, None, &places.keys));
    }
    // "unknown option -- G", in the words of every C library.
    if !(output.messages.contains("option") && output.messages.contains("-- G")) {
        return Err(refused(&output));
    }
    let folder = ThrowAwayKey::make(places).map_err(QueryError::NotStarted)?;
    let key = folder.key();
    let output = run(words(&["-T", "-h"]).chain([key.as_os_str()]).chain(given()).collect())?;
    if output.status.success() {
        is_text(&output)?;
        Ok(answer(&output, Some(&key), &places.keys))
    } else {
        Err(refused(&output))
    }
}

/// A key whose path is no UTF-8 is unknown to us: it must not be taken for another one.
fn is_text(output: &ProgramOutput) -> Result<(), QueryError> {
    let is_key = |line: &&[u8]| line.get(..8).is_some_and(|word| word.eq_ignore_ascii_case(b"hostkey "));
    let mut keys = output.stdout.split(|byte| *byte == b'\n').filter(is_key);
    if keys.all(|line| std::str::from_utf8(line).is_ok()) { Ok(()) } else { Err(QueryError::NoText) }
}

/// Lets sshd check its configuration and its keys (`-t`), with these options.
///
/// # Errors
/// In sshd's words.
pub(crate) fn check(options: &[String]) -> Result<(), QueryError> {
    let program = SshdOptions::read().program;
    let words = words(&["-t"]).chain(options.iter().map(OsStr::new));
    let output = program::run(&program, words, b"").map_err(QueryError::NotStarted)?;
    if output.status.success() { Ok(()) } else { Err(refused(&output)) }
}

fn refused(output: &ProgramOutput) -> QueryError {
    QueryError::Refused(format!("{} ({})", output.status, output.messages))
}

/// What sshd printed. If it names no key but the throw-away one, there is no `HostKey` line.
fn answer(output: &ProgramOutput, throw_away: Option<&Path>, folder: &Path) -> EffectiveHostKeys {
    let mut config = SshdConfig::parse_printed(&String::from_utf8_lossy(&output.stdout));
    if let Some(throw_away) = throw_away {
        let lines = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter(|line| line.split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case("hostkey")))
            .count();
        config.host_keys.retain(|path| path != throw_away);
        config.names_keys = lines > 1;
    }
    EffectiveHostKeys::configured(config, ConfigSource::Sshd, folder)
}

/// A key of which sshd hears only while it is asked.
struct ThrowAwayKey(PathBuf);

impl ThrowAwayKey {
    fn make(places: &HostKeyPaths) -> io::Result<Self> {
        let parent = places.served.parent().unwrap_or(Path::new("/run"));
        files::public_folder(parent)?;
        let folder = parent.join(format!("{THROW_AWAY}{:08x}", random::generator().u32(..)));
        files::private_folder(&folder)?;
        let made = Self(folder);
        let key = made.key();
        // The one type that every OpenSSH makes quickly, also where only certified algorithms may be used.
        let options = words(&["-q", "-t", "ecdsa", "-N", "", "-f"]).chain([key.as_os_str()]);
        let output = program::run("ssh-keygen", options, b"")?;
        if output.status.success() {
            Ok(made)
        } else {
            Err(io::Error::other(format!("ssh-keygen: {} ({})", output.status, output.messages)))
        }
    }

    fn key(&self) -> PathBuf {
        self.0.join("key")
    }
}

impl Drop for ThrowAwayKey {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(why) => write!(f, "sshd cannot be asked for its configuration: {why}"),
            Self::NoText => f.write_str("sshd names a host key whose path is no UTF-8: it is left alone"),
            Self::Refused(why) => write!(f, "sshd refuses its configuration: {why}"),
        }
    }
}

impl std::error::Error for QueryError {}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn h3_the_throw_away_key_is_not_taken_for_a_configured_one() {
        let printed = |text: &str| ProgramOutput {
            status: ExitStatus::from_raw(0),
            stdout: text.as_bytes().to_vec(),
            messages: String::new(),
        };
        let key = Path::new("/run/x/key");
        let files = |text: &str, key| answer(&printed(text), key, Path::new("/etc/ssh")).files;
        let names = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        let defaults = ["rsa", "ecdsa", "ed25519"].map(|kind| format!("/etc/ssh/ssh_host_{kind}_key"));
        assert_eq!(files("hostkey /run/x/key\n", Some(key)), names(&defaults.each_ref().map(|name| &**name)));
        assert_eq!(files("hostkey /run/x/key\nHostKey /a b\n", Some(key)), names(&["/a b"]));
        assert_eq!(files("hostkey /run/x/key\nhostkey (null)\n", Some(key)), names(&[]));
        assert_eq!(files("HostKey /a\nHostKey /b\nPort 22\n", None), names(&["/a", "/b"]));
    }
}

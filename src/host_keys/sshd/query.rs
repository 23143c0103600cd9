//! Asks sshd which host keys it is configured with (invariant H3).
//!
//! `sshd -G` (OpenSSH 9.3 and later) prints the configuration without loading keys. Older versions have only `sshd -T`, which needs a key
//! that it can load. It gets a throwaway key, because sshd's own keys may be missing. The answer is cached with a digest of everything
//! that it depends on. So a later boot without changes starts no program.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64ct::{Base64Unpadded, Encoding};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::host_keys::paths::HostKeyPaths;
use crate::host_keys::sshd::cache::OpensshAnswers;
use crate::host_keys::sshd::config::SshdConfig;
use crate::host_keys::sshd::effective::{ConfigSource, EffectiveHostKeys, is_conventional};
use crate::host_keys::sshd::options::SshdOptions;
use crate::util::program::{self, ProgramOutput, stamp, words};
use crate::util::{files, random};

/// The beginning of the name of the folder for the throwaway key.
const THROWAWAY_KEY_PREFIX: &str = ".throw-away-key.";

/// Why sshd gave no answer.
#[derive(Debug, Error)]
pub(crate) enum QueryError {
    /// sshd cannot be started, or the throwaway key cannot be made.
    #[error("cannot query sshd's configuration: {0}")]
    NotStarted(#[source] io::Error),
    /// sshd refuses its configuration, with this message.
    #[error("sshd refuses its configuration: {0}")]
    Refused(String),
    /// The configuration names a key whose path is not UTF-8.
    #[error("sshd's configuration names a host key whose path is not UTF-8; this key is ignored")]
    PathNotUtf8,
}

/// sshd's effective host keys: from the cache if that is still valid, otherwise from sshd. If there is no sshd, or it gives no answer, they
/// come from this program's own reading of the configuration. In the last case, the error has the reason.
pub(crate) fn effective(
    paths: &HostKeyPaths,
    answers: &mut OpensshAnswers,
) -> (EffectiveHostKeys, Option<QueryError>) {
    let options = SshdOptions::read();
    if !Path::new(&options.program).exists() {
        return (from_files(paths, &options), None);
    }
    // Without a digest of the inputs, sshd is asked each time.
    let inputs_digest = inputs_digest(paths, &options).ok();
    if let Some(answer) = inputs_digest.as_ref().and_then(|inputs_digest| answers.sshd(inputs_digest)) {
        return (answer.clone(), None);
    }
    match ask_sshd(paths, &options) {
        Ok(answer) => {
            if let Some(inputs_digest) = inputs_digest {
                answers.set_sshd(inputs_digest, answer.clone());
            }
            (answer, None)
        }
        Err(why) => (from_files(paths, &options), Some(why)),
    }
}

/// The effective host keys from this program's own reading of the files.
fn from_files(paths: &HostKeyPaths, options: &SshdOptions) -> EffectiveHostKeys {
    let mut config = match SshdConfig::read(&config_path(paths, options), &options.lines) {
        Ok(Some((config, _))) => config,
        Ok(None) if options.lines.is_empty() => return from_names(&paths.keys),
        Ok(None) => SshdConfig::default(),
        Err(why) => {
            tracing::warn!("cannot read sshd's configuration, so its defaults are assumed: {why}");
            SshdConfig::default()
        }
    };
    if let Some(keys) = defaults(options).filter(|_| !config.has_host_key_lines) {
        (config.has_host_key_lines, config.host_keys) = (true, keys);
    }
    EffectiveHostKeys::configured(config, ConfigSource::Files, &paths.keys)
}

/// The host keys of this sshd if its configuration has no `HostKey` line. `None` if it cannot print them (before OpenSSH 9.3), or is
/// missing.
fn defaults(options: &SshdOptions) -> Option<Vec<PathBuf>> {
    let output = program::run(&options.program, words(&["-G", "-f", "/dev/null"]), b"").ok()?;
    let printed = SshdConfig::parse_printed(std::str::from_utf8(&output.stdout).ok()?);
    printed.has_host_key_lines.then_some(printed.host_keys)
}

/// The host keys without sshd: its default keys, and all other files with the name of a host key.
fn from_names(folder: &Path) -> EffectiveHostKeys {
    let mut paths = crate::host_keys::sshd::effective::default_files(folder);
    paths.extend(conventional_keys(folder));
    EffectiveHostKeys::by_name(paths)
}

/// The files in a folder with the name of a private host key. Empty if the folder cannot be listed.
pub(crate) fn conventional_keys(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_key = |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(is_conventional);
    entries.filter(is_key).map(|entry| entry.path()).collect()
}

fn config_path(paths: &HostKeyPaths, options: &SshdOptions) -> PathBuf {
    options.config.clone().unwrap_or_else(|| paths.keys.join("sshd_config"))
}

/// A digest of everything that the answer depends on: the program, its options, every file of its configuration, and the kernel's FIPS
/// switch.
fn inputs_digest(paths: &HostKeyPaths, options: &SshdOptions) -> io::Result<String> {
    let program = (&options.program, stamp(&options.program).ok_or(io::ErrorKind::NotFound)?);
    let fips = files::read_bounded(&paths.fips, 16)?;
    let read = SshdConfig::read(&config_path(paths, options), &options.lines)?;
    let texts = read.map(|(_, texts)| texts).unwrap_or_default();
    let all = serde_json::to_vec(&(env!("CARGO_PKG_VERSION"), program, &options.words, fips, texts))?;
    Ok(Base64Unpadded::encode_string(&Sha256::digest(all)))
}

fn ask_sshd(paths: &HostKeyPaths, options: &SshdOptions) -> Result<EffectiveHostKeys, QueryError> {
    let (output, throwaway) = print_configuration(paths, options)?;
    check_key_paths_are_utf8(&output)?;
    Ok(parse_answer(&output, throwaway.map(|key| key.key()).as_deref(), &paths.keys))
}

/// sshd's configuration for a connection of this user, as sshd prints it: a name and its value on each line. Only `sshd -T` knows
/// connections.
///
/// # Errors
/// When sshd cannot be started or refuses its configuration.
pub(crate) fn configuration_for(
    user: &str,
    paths: &HostKeyPaths,
    options: &SshdOptions,
) -> Result<String, QueryError> {
    let connection = format!("user={user},host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22");
    let (output, _) = print_with_key(paths, options, &["-C".as_ref(), connection.as_ref()])?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Has sshd print its configuration. Returns the key that it got for that, if it needed one.
fn print_configuration(
    paths: &HostKeyPaths,
    options: &SshdOptions,
) -> Result<(ProgramOutput, Option<ThrowawayKey>), QueryError> {
    let arguments = words(&["-G"]).chain(options.words.iter().map(OsStr::new));
    let output = program::run(&options.program, arguments, b"").map_err(QueryError::NotStarted)?;
    if output.status.success() {
        return Ok((output, None));
    }
    // "unknown option -- G". Each C library has its own form of this message.
    if !(output.messages.contains("option") && output.messages.contains("-- G")) {
        return Err(refused(&output));
    }
    let (output, throwaway) = print_with_key(paths, options, &[])?;
    Ok((output, Some(throwaway)))
}

/// Has sshd print its configuration with `-T`, for which it needs a key.
fn print_with_key(
    paths: &HostKeyPaths,
    options: &SshdOptions,
    more: &[&OsStr],
) -> Result<(ProgramOutput, ThrowawayKey), QueryError> {
    let throwaway = ThrowawayKey::make(paths).map_err(QueryError::NotStarted)?;
    let key = throwaway.key();
    let arguments = words(&["-T", "-h"]).chain([key.as_os_str()]).chain(more.iter().copied());
    let arguments = arguments.chain(options.words.iter().map(OsStr::new));
    let output = program::run(&options.program, arguments, b"").map_err(QueryError::NotStarted)?;
    if output.status.success() { Ok((output, throwaway)) } else { Err(refused(&output)) }
}

/// Checks that all paths of keys are UTF-8. Others would be read as the path of another key.
fn check_key_paths_are_utf8(output: &ProgramOutput) -> Result<(), QueryError> {
    let is_key = |line: &&[u8]| line.get(..8).is_some_and(|word| word.eq_ignore_ascii_case(b"hostkey "));
    let mut keys = output.stdout.split(|byte| *byte == b'\n').filter(is_key);
    if keys.all(|line| std::str::from_utf8(line).is_ok()) { Ok(()) } else { Err(QueryError::PathNotUtf8) }
}

/// Runs `sshd -t` with these options: sshd checks its configuration and its keys.
///
/// # Errors
/// When sshd refuses, with its message.
pub(crate) fn check(options: &[String]) -> Result<(), QueryError> {
    let program = SshdOptions::read().program;
    let words = words(&["-t"]).chain(options.iter().map(OsStr::new));
    let output = program::run(&program, words, b"").map_err(QueryError::NotStarted)?;
    if output.status.success() { Ok(()) } else { Err(refused(&output)) }
}

fn refused(output: &ProgramOutput) -> QueryError {
    QueryError::Refused(format!("{} ({})", output.status, output.messages))
}

/// The effective host keys from sshd's output. If that has no key but the throwaway one, there is no `HostKey` line.
fn parse_answer(output: &ProgramOutput, throwaway: Option<&Path>, folder: &Path) -> EffectiveHostKeys {
    let mut config = SshdConfig::parse_printed(&String::from_utf8_lossy(&output.stdout));
    if let Some(throwaway) = throwaway {
        let lines = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter(|line| line.split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case("hostkey")))
            .count();
        config.host_keys.retain(|path| path != throwaway);
        config.has_host_key_lines = lines > 1;
    }
    EffectiveHostKeys::configured(config, ConfigSource::Sshd, folder)
}

/// A temporary key for one call of `sshd -T`.
struct ThrowawayKey(PathBuf);

impl ThrowawayKey {
    fn make(paths: &HostKeyPaths) -> io::Result<Self> {
        let parent = paths.served.parent().unwrap_or(Path::new("/run"));
        files::create_public_folder(parent)?;
        let folder = parent.join(format!("{THROWAWAY_KEY_PREFIX}{:08x}", random::generator().u32(..)));
        files::create_private_folder(&folder)?;
        let made = Self(folder);
        let key = made.key();
        // The one type that every OpenSSH makes quickly, even if only certified algorithms may be used.
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

impl Drop for ThrowawayKey {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn h3_throwaway_key_is_not_a_configured_one() {
        let printed = |text: &str| ProgramOutput {
            status: ExitStatus::from_raw(0),
            stdout: text.as_bytes().to_vec(),
            messages: String::new(),
        };
        let key = Path::new("/run/x/key");
        let files = |text: &str, key| parse_answer(&printed(text), key, Path::new("/etc/ssh")).files;
        let names = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        let defaults = ["rsa", "ecdsa", "ed25519"].map(|kind| format!("/etc/ssh/ssh_host_{kind}_key"));
        assert_eq!(files("hostkey /run/x/key\n", Some(key)), names(&defaults.each_ref().map(|name| &**name)));
        assert_eq!(files("hostkey /run/x/key\nHostKey /a b\n", Some(key)), names(&["/a b"]));
        assert_eq!(files("hostkey /run/x/key\nhostkey (null)\n", Some(key)), names(&[]));
        assert_eq!(files("HostKey /a\nHostKey /b\nPort 22\n", None), names(&["/a", "/b"]));
    }
}

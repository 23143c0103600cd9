//! Learning what sshd serves (law H3), and leaving it in /run, where the daemon finds it: it may read neither sshd's
//! configuration on every distribution nor any private key.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::places::Places;
use super::served::{Served, Source};
use super::sshd_config::SshdConfig;
use super::word::{self, Basis};
use crate::files;

const LARGEST: u64 = 64 * 1024;
/// So many characters of what sshd complains about are told.
const LONGEST_COMPLAINT: usize = 500;
/// The same path on every distribution.
const SSHD: &str = "/usr/sbin/sshd";
/// RHEL 8 gives its crypto policy to sshd on the command line; from RHEL 9 on, sshd's configuration includes it.
const POLICY: &str = "/etc/crypto-policies/back-ends/opensshserver.config";
/// Where an administrator of RHEL 8 opts out of that, by setting the same name.
const OPT_OUT: &str = "/etc/sysconfig/sshd";

/// Why sshd did not say what it serves.
#[derive(Debug)]
pub enum SurveyError {
    /// It cannot be started.
    NotStarted(io::Error),
    /// It said no to this option; its own words.
    Refused(&'static str, String),
}

/// By our own reading of the configuration in `folder`: what there is before sshd can be asked.
pub(super) fn by_files(folder: &Path) -> Served {
    match SshdConfig::read(&folder.join("sshd_config")) {
        Ok(Some(config)) => Served::configured(config, Source::Files, folder),
        Ok(None) => Served::by_name(),
        Err(why) => {
            tracing::warn!("sshd's configuration cannot be read, so its defaults are assumed: {why}");
            Served::configured(SshdConfig::default(), Source::Files, folder)
        }
    }
}

/// By sshd's own word, the one that was kept if that still holds. `None` where there is no sshd.
pub(super) fn by_sshd(places: &Places) -> Result<Option<Served>, SurveyError> {
    if !Path::new(SSHD).exists() {
        return Ok(None);
    }
    let options = policy();
    // Without a basis, it is asked each time.
    let basis = Basis::of(Path::new(SSHD), &options, &places.keys, &places.fips).ok();
    if let Some(served) = basis.as_ref().and_then(|basis| word::recall(&places.word, basis)) {
        return Ok(Some(served));
    }
    let output = sshd("-T", &options)?;
    let config = SshdConfig::parse(&output);
    let served = Served::configured(config, Source::Sshd, &places.keys);
    if let Some(Err(why)) = basis.map(|basis| word::keep(&places.word, basis, &served)) {
        tracing::warn!(
            "sshd's word cannot be kept in {}, and so is asked for at the next boot: {why}",
            places.word.display()
        );
    }
    Ok(Some(served))
}

/// Has sshd print its configuration (`-T`), or only check it and its keys (`-t`).
pub(super) fn sshd(mode: &'static str, options: &[String]) -> Result<String, SurveyError> {
    let mut command = Command::new(SSHD);
    command.arg(mode).args(options).stdin(Stdio::null());
    let output = command.output().map_err(SurveyError::NotStarted)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(SurveyError::Refused(mode, format!("{} ({})", output.status, one_line(&output.stderr))))
}

/// What sshd said, as one line without control characters, and not without end.
fn one_line(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    lines.chars().filter(|c| !c.is_control()).take(LONGEST_COMPLAINT).collect()
}

/// The options that RHEL 8's unit gives to sshd: `CRYPTO_POLICY='-oCiphers=… -oHostKeyAlgorithms=…'`.
pub(super) fn policy() -> Vec<String> {
    let set_in = |path: &str| {
        let text = files::read_bounded(Path::new(path), LARGEST).ok().flatten().unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines().find_map(|line| line.strip_prefix("CRYPTO_POLICY=")).map(str::to_owned)
    };
    let options = if set_in(OPT_OUT).is_some() { None } else { set_in(POLICY) };
    let options = options.unwrap_or_default();
    let words = options.trim_matches(['\'', '"']).split_whitespace();
    words.filter(|word| word.starts_with("-o")).map(str::to_owned).collect()
}

/// Leaves it for the daemon; touches nothing where it stands there already.
pub(super) fn leave(served: &Served, path: &Path) -> io::Result<()> {
    if load(path).as_ref() == Some(served) {
        return Ok(());
    }
    leave_for_boot(path, &serde_json::to_vec(served)?)
}

/// Writes a file that stands until the next boot, for all to read.
pub(super) fn leave_for_boot(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        files::public_folder(folder)?;
    }
    files::write_whole(path, bytes, 0o644)
}

/// What was left; where nothing was in this boot, or nothing that can be read, by our own reading of the configuration.
pub fn known(places: &Places) -> Served {
    load(&places.served).unwrap_or_else(|| by_files(&places.keys))
}

fn load(path: &Path) -> Option<Served> {
    serde_json::from_slice(&files::read_bounded(path, LARGEST).ok()??).ok()
}

impl fmt::Display for SurveyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(why) => write!(f, "{SSHD} cannot be started: {why}"),
            Self::Refused(mode, why) => write!(f, "`sshd {mode}` failed: {why}"),
        }
    }
}

impl std::error::Error for SurveyError {}

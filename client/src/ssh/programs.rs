//! The programs `ssh` and `ssh-keyscan`.

use std::io;
use std::process::{Command, Stdio};

use super::call::Target;
use super::host_key::HostKey;
use crate::published::{Entry, Published};

/// The first version that has `KnownHostsCommand`.
pub(crate) const NEEDED_VERSION: (u32, u32) = (8, 5);

/// Seconds for all connections of one `ssh-keyscan`. On a busy machine, some of them do not end in time.
const SCAN_SECONDS: &str = "10";

/// Why a program is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    #[error("cannot start {program}: {error}")]
    Start { program: &'static str, error: io::Error },
    #[error("ssh does not accept this host or its configuration; try `ssh -G HOST`")]
    Configuration,
    #[error("no host key was offered at {host} port {port}; is its SSH server reachable from here?")]
    NoKey { host: String, port: u16 },
}

/// What ssh does for a host, by its configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Effective {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) alias: Option<String>,
    pub(crate) command: Option<String>,
    pub(crate) strict_checking: String,
    /// `UserKnownHostsFile`
    pub(crate) known_hosts: String,
}

impl Effective {
    /// The host as in a call for this name.
    pub(crate) fn target(&self, typed: &str) -> Target {
        Target { host: self.host.to_lowercase(), typed: typed.to_owned(), alias: self.alias.clone() }
    }
}

/// The version of ssh, and its text.
pub(crate) fn version() -> Result<((u32, u32), String), ProgramError> {
    let output = Command::new("ssh").arg("-V").stdin(Stdio::null()).output();
    let output = output.map_err(|error| ProgramError::Start { program: "ssh", error })?;
    let text = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned();
    Ok((parse_version(&text), text))
}

/// `OpenSSH_9.2p1 …` as (9, 2); (0, 0) for another program.
fn parse_version(text: &str) -> (u32, u32) {
    let number =
        |text: &str| text.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok());
    let version = text.split_once("OpenSSH_").and_then(|(_, after)| after.split_once('.'));
    let (major, minor) = version
        .map_or((None, None), |(major, rest)| (major.rsplit('_').next().and_then(number), number(rest)));
    (major.unwrap_or_default(), minor.unwrap_or_default())
}

/// The effective configuration for a host.
pub(crate) fn effective(host: &str) -> Result<Effective, ProgramError> {
    let output = Command::new("ssh").args(["-G", "--", host]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| ProgramError::Start { program: "ssh", error })?;
    if !output.status.success() {
        return Err(ProgramError::Configuration);
    }
    Ok(parse_effective(&String::from_utf8_lossy(&output.stdout)))
}

fn parse_effective(text: &str) -> Effective {
    let mut effective = Effective { port: 22, ..Effective::default() };
    for (key, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        let is_set = || Some(value.to_owned()).filter(|value| value != "none");
        match key {
            "hostname" => value.clone_into(&mut effective.host),
            "port" => effective.port = value.parse().unwrap_or(22),
            "hostkeyalias" => effective.alias = is_set(),
            "knownhostscommand" => effective.command = is_set(),
            "userknownhostsfile" => value.clone_into(&mut effective.known_hosts),
            "stricthostkeychecking" => value.clone_into(&mut effective.strict_checking),
            _ => {}
        }
    }
    effective
}

/// The host keys that a server offers, one of each type. If some of these are missing, the server is asked once more.
pub(crate) fn offered_keys(
    host: &str,
    port: u16,
    expected: &Published,
) -> Result<Vec<HostKey>, ProgramError> {
    let mut keys = scan(host, port)?;
    let is_offered = |entry: &Entry| keys.iter().any(|key| key.fingerprint() == entry.fingerprint);
    if !expected.entries().iter().all(is_offered) {
        keys.extend(scan(host, port)?);
        keys.sort_by_key(HostKey::base64);
        keys.dedup();
    }
    if keys.is_empty() { Err(ProgramError::NoKey { host: host.to_owned(), port }) } else { Ok(keys) }
}

fn scan(host: &str, port: u16) -> Result<Vec<HostKey>, ProgramError> {
    let mut scan = Command::new("ssh-keyscan");
    scan.args(["-T", SCAN_SECONDS, "-p", &port.to_string(), "--", host]).stdin(Stdio::null());
    let output = scan.output().map_err(|error| ProgramError::Start { program: "ssh-keyscan", error })?;
    Ok(parse_scan(&String::from_utf8_lossy(&output.stdout)))
}

fn parse_scan(text: &str) -> Vec<HostKey> {
    let mut keys = Vec::new();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    for key in lines.filter_map(|line| HostKey::parse(line.split_ascii_whitespace().nth(2)?).ok()) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_builds_are_read() {
        for (text, version) in [
            ("OpenSSH_9.2p1 Debian-2+deb12u3, OpenSSL 3.0.11", (9, 2)),
            ("OpenSSH_10.0p2, OpenSSL 3.5", (10, 0)),
            ("OpenSSH_8.4p1", (8, 4)),
            ("OpenSSH_for_Windows_9.5p1, LibreSSL 3.8.2", (9, 5)),
            ("dropbear", (0, 0)),
        ] {
            assert_eq!(parse_version(text), version, "{text}");
        }
    }

    #[test]
    fn effective_configuration_is_read() {
        let effective = parse_effective(
            "host web\nhostname 51.15.0.1\nport 2222\nhostkeyalias none\nknownhostscommand /a b\nstricthostkeychecking ask\n",
        );
        assert_eq!((effective.host.as_str(), effective.port), ("51.15.0.1", 2222));
        assert_eq!((effective.alias, effective.command.as_deref()), (None, Some("/a b")));
    }

    #[test]
    fn scan_yields_each_key_once() {
        let key = "AAAAC3NzaC1lZDI1NTE5AAAAIPbatW6deZ5lBPqVQrgZ5m5azJVn84DsrzVkjUxxOf0X";
        let line = format!("[web]:2222 ssh-ed25519 {key}\n");
        let keys = parse_scan(&format!("# web:22 SSH-2.0\n{line}{line}web ssh-rsa broken\nweb\n"));
        assert_eq!(keys.len(), 1);
    }
}

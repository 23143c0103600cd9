//! The effective host keys (invariant H3): which files sshd's configuration names, and which of their keys sshd accepts. Pure.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::host_keys::key::key_type::KeyType;
use crate::host_keys::key::public_key::PublicKey;
use crate::host_keys::sshd::config::SshdConfig;
use crate::host_keys::sshd::wildcard;

/// The host keys of sshd's configuration as it is in effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectiveHostKeys {
    /// The source of this answer.
    pub source: ConfigSource,
    /// The private key files, in sshd's order.
    pub files: Vec<PathBuf>,
    /// `HostKeyAlgorithms`. In sshd's own answer, the complete list.
    pub algorithms: Option<String>,
    /// `RequiredRSASize` in bits: a smaller RSA key is not served.
    pub required_rsa: Option<usize>,
    /// `HostKeyAgent`: the socket of the agent that may have the private keys.
    pub agent: Option<String>,
}

/// The source from which it is known which host keys sshd serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigSource {
    /// The file names, because there is no sshd: every `ssh_host_*_key` in /etc/ssh is used.
    Names,
    /// This program's own reading of the configuration.
    Files,
    /// sshd's own answer.
    Sshd,
}

/// The conventional name of a private key: `ssh_host_TYPE_key`.
const PREFIX: &str = "ssh_host_";
const SUFFIX: &str = "_key";

impl EffectiveHostKeys {
    /// Without sshd: these files. They include those that ssh-keygen makes by default.
    pub fn by_name(mut files: Vec<PathBuf>) -> Self {
        files.sort_unstable();
        files.dedup();
        Self { source: ConfigSource::Names, files, algorithms: None, required_rsa: None, agent: None }
    }

    /// The configured keys. Without a `HostKey` line, the three default files of every OpenSSH that does not print its defaults.
    pub fn configured(config: SshdConfig, source: ConfigSource, folder: &Path) -> Self {
        let SshdConfig { has_host_key_lines, host_keys, algorithms, required_rsa, agent, .. } = config;
        let files = if has_host_key_lines { host_keys } else { default_files(folder) };
        let agent = agent.filter(|socket| !socket.eq_ignore_ascii_case("none"));
        let mut effective = Self { source, files: Vec::new(), algorithms, required_rsa, agent };
        for file in files {
            if !effective.files.contains(&file) {
                effective.files.push(file);
            }
        }
        effective
    }

    /// Whether sshd accepts keys of this algorithm.
    pub fn accepts(&self, algorithm: &str) -> bool {
        let Some(list) = &self.algorithms else { return true };
        // RSA keys are used under other algorithm names than their own.
        let names = match algorithm {
            "ssh-rsa" => &["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"][..],
            _ => &[algorithm],
        };
        let matched =
            |list: &str, name: &str| list.split(',').any(|pattern| wildcard::matches(pattern, name));
        match list.split_at_checked(1) {
            // A list that adds or prefers algorithms removes none.
            Some(("+" | "^", _)) => true,
            // `ssh-rsa` (SHA-1) is not in the default list, from which these are removed.
            Some(("-", less)) => names.iter().any(|name| *name != "ssh-rsa" && !matched(less, name)),
            _ => names.iter().any(|name| matched(list, name)),
        }
    }

    /// Whether sshd offers this key, if it can load it.
    pub fn offers(&self, key: &PublicKey) -> bool {
        let large =
            key.algorithm != "ssh-rsa" || self.required_rsa.is_none_or(|required| key.bits >= required);
        large && self.accepts(&key.algorithm)
    }

    /// The algorithm of the key that `ssh-keygen -t NAME` makes, if sshd accepts it. For a type that this program does not know, the name is
    /// searched in sshd's own list.
    pub fn accepted_algorithm(&self, keygen_type: &str) -> Option<String> {
        let algorithms = match keygen_type {
            "rsa" => &["ssh-rsa"][..],
            "ecdsa" => &["ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"],
            "ed25519" => &["ssh-ed25519"],
            "dsa" => &["ssh-dss"],
            _ => &[],
        };
        if !algorithms.is_empty() {
            return algorithms.iter().find(|name| self.accepts(name)).map(|name| (*name).to_owned());
        }
        let list = self.algorithms.as_ref()?;
        let is_of_type = |name: &&str| name.strip_prefix("ssh-").unwrap_or(name) == keygen_type;
        list.split(',').find(is_of_type).map(str::to_owned)
    }
}

/// The files that sshd uses without a `HostKey` line, in its order.
pub(crate) fn default_files(folder: &Path) -> Vec<PathBuf> {
    [KeyType::Rsa, KeyType::Ecdsa, KeyType::Ed25519].map(|kind| kind.private_path(folder)).to_vec()
}

/// The type in a conventional name, as in `ssh-keygen -t`: `ed25519` for `ssh_host_ed25519_key`.
pub(crate) fn conventional_type(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let kind = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!kind.is_empty() && kind.chars().all(plain)).then(|| kind.replace('_', "-"))
}

/// Whether a file name is a conventional name of a private key.
pub(crate) fn is_conventional(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effective(text: &str) -> EffectiveHostKeys {
        EffectiveHostKeys::configured(
            SshdConfig::parse_printed(text),
            ConfigSource::Sshd,
            Path::new("/etc/ssh"),
        )
    }

    #[test]
    fn h3_key_of_an_excluded_algorithm_is_not_served() {
        let kinds = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp521", "ssh-rsa"];
        for (list, expected) in [
            ("ssh-ed25519", [true, false, false, false]),
            ("ssh-ed25519,rsa-sha2-256", [true, false, false, true]),
            ("+ssh-rsa", [true; 4]),
            ("^rsa-sha2-512", [true; 4]),
            ("-ssh-ed25519", [false, true, true, true]),
            ("-*nistp521,rsa-*", [true, true, false, false]),
            ("-rsa-sha2-256", [true; 4]),
            ("ecdsa-*", [false, true, true, false]),
        ] {
            let effective = effective(&format!("HostKeyAlgorithms {list}"));
            assert_eq!(kinds.map(|kind| effective.accepts(kind)), expected, "{list}");
        }
    }

    #[test]
    fn h3_key_is_made_only_of_an_accepted_algorithm() {
        let list =
            "HostKeyAlgorithms ecdsa-sha2-nistp384,ssh-ed25519-cert-v01@openssh.com,ssh-mldsa44-ed25519";
        let effective = effective(list);
        for (kind, expected) in [
            ("ecdsa", Some("ecdsa-sha2-nistp384")),
            ("ed25519", None),
            ("dsa", None),
            ("mldsa44-ed25519", Some("ssh-mldsa44-ed25519")),
            ("new", None),
        ] {
            assert_eq!(effective.accepted_algorithm(kind).as_deref(), expected, "{kind}");
        }
    }

    #[test]
    fn h3_without_hostkey_lines_sshd_has_its_defaults() {
        let names = |text: &str| effective(text).files;
        let default = ["rsa", "ecdsa", "ed25519"].map(|kind| format!("/etc/ssh/ssh_host_{kind}_key"));
        assert_eq!(names(""), default.map(PathBuf::from));
        assert!(names("hostkey (null)").is_empty());
        assert_eq!(names("HostKey /b\nHostKey //a\nhostkey /b"), ["/b", "/a"].map(PathBuf::from));
    }

    #[test]
    fn conventional_name_shows_the_type() {
        for (name, kind) in [
            ("/etc/ssh/ssh_host_ed25519_key", Some("ed25519")),
            ("/x/ssh_host_mldsa44_ed25519_key", Some("mldsa44-ed25519")),
            ("/x/ssh_host__key", None),
            ("/x/ssh_host_key", None),
            ("/x/my_own_key", None),
            ("/x/ssh_host_a b_key", None),
        ] {
            assert_eq!(conventional_type(Path::new(name)).as_deref(), kind, "{name}");
        }
    }
}

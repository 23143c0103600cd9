//! Which host keys sshd serves, by its configuration (law H3), and which it therefore needs. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::key_type::KeyType;
use super::public_key::PublicKey;
use super::sshd_config::SshdConfig;
use super::wildcard;

/// What sshd serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// How it is known.
    pub source: Source,
    /// The private keys; null where there is no sshd, and the keys are known by their names alone.
    pub keys: Option<Vec<PathBuf>>,
    /// `HostKeyAlgorithms`, where it is set.
    pub algorithms: Option<String>,
    /// `RequiredRSASize`, where it is set: an RSA key of fewer bits is not served.
    pub required_rsa: Option<usize>,
}

/// How it is known what sshd serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// There is no sshd here: every `ssh_host_*_key` in /etc/ssh counts.
    Names,
    /// By our own reading of its configuration.
    Files,
    /// By its own word, `sshd -T`.
    Sshd,
}

impl Served {
    /// Without an sshd: the keys by name.
    pub fn by_name() -> Self {
        Self { source: Source::Names, keys: None, algorithms: None, required_rsa: None }
    }

    /// As configured; without a `HostKey` line, sshd takes the default names in `folder`.
    pub fn configured(config: SshdConfig, source: Source, folder: &Path) -> Self {
        let SshdConfig { host_keys, algorithms, required_rsa } = config;
        let keys = if host_keys.is_empty() {
            KeyType::ALL.map(|key_type| key_type.private_path(folder)).to_vec()
        } else {
            host_keys
        };
        Self { source, keys: Some(keys), algorithms, required_rsa }
    }

    /// The same, of those keys only that can be used.
    #[must_use]
    pub fn only(mut self, usable: impl Fn(&Path) -> bool) -> Self {
        self.keys.iter_mut().for_each(|keys| keys.retain(|path| usable(path)));
        self
    }

    /// Whether sshd offers this key to its clients.
    pub fn serves(&self, private: &Path, key: &PublicKey) -> bool {
        let named = self.keys.as_ref().is_none_or(|keys| keys.iter().any(|named| named == private));
        let large =
            key.algorithm != "ssh-rsa" || self.required_rsa.is_none_or(|required| key.bits >= required);
        named && large && self.accepts(&key.algorithm)
    }

    /// Whether keys of this kind may sign at all.
    fn accepts(&self, algorithm: &str) -> bool {
        let Some(list) = &self.algorithms else { return true };
        // RSA keys sign by other names than their own.
        let names = match algorithm {
            "ssh-rsa" => &["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"][..],
            _ => &[algorithm],
        };
        let matched =
            |list: &str, name: &str| list.split(',').any(|pattern| wildcard::matches(pattern, name));
        match list.split_at_checked(1) {
            // What is added or preferred takes nothing away.
            Some(("+" | "^", _)) => true,
            // `ssh-rsa` (SHA-1) is not in the list that this is taken from.
            Some(("-", less)) => names.iter().any(|name| *name != "ssh-rsa" && !matched(less, name)),
            _ => names.iter().any(|name| matched(list, name)),
        }
    }

    /// Which keys must be there, by folder: those that sshd's configuration names, of `types` only; all that it names where none is of
    /// these types, since without any key sshd does not start. A key whose name does not tell its type is its owner's to make.
    pub fn wanted(&self, folder: &Path, types: &[KeyType]) -> BTreeMap<PathBuf, Vec<KeyType>> {
        let mut named: Vec<_> = match &self.keys {
            None => types.iter().map(|key_type| (folder.to_owned(), *key_type)).collect(),
            Some(keys) => keys.iter().filter_map(|path| named_type(path)).collect(),
        };
        named.retain(|(_, key_type)| self.accepts(key_type.algorithm()));
        if named.iter().any(|(_, key_type)| types.contains(key_type)) {
            named.retain(|(_, key_type)| types.contains(key_type));
        }
        let mut wanted = BTreeMap::<_, Vec<_>>::new();
        for (folder, key_type) in named {
            wanted.entry(folder).or_default().push(key_type);
        }
        for types in wanted.values_mut() {
            types.sort_unstable();
            types.dedup();
        }
        wanted
    }
}

/// A private key's folder and type, by its name.
fn named_type(path: &Path) -> Option<(PathBuf, KeyType)> {
    let name = path.file_name()?.to_str()?;
    let key_type = KeyType::ALL.into_iter().find(|key_type| key_type.file_name() == name)?;
    Some((path.parent()?.to_owned(), key_type))
}

#[cfg(test)]
mod tests {
    use super::*;
    use KeyType::{Ecdsa, Ed25519, Rsa};

    fn served(text: &str) -> Served {
        Served::configured(SshdConfig::parse(text), Source::Files, Path::new("/etc/ssh"))
    }

    #[test]
    fn h3_what_the_algorithms_leave_out_is_not_served() {
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
            let served = served(&format!("HostKeyAlgorithms {list}"));
            assert_eq!(kinds.map(|kind| served.accepts(kind)), expected, "{list}");
        }
    }

    #[test]
    fn the_keys_that_are_wanted_are_those_that_sshd_names_of_the_configured_types() {
        let etc = || PathBuf::from("/etc/ssh");
        let all = || vec![(etc(), vec![Ecdsa, Ed25519, Rsa])];
        for (text, types, expected) in [
            ("", &KeyType::ALL[..], all()),
            ("", &[Ed25519], vec![(etc(), vec![Ed25519])]),
            ("HostKey /etc/ssh/ssh_host_rsa_key", &KeyType::ALL, vec![(etc(), vec![Rsa])]),
            // Otherwise sshd would have none.
            ("HostKey /etc/ssh/ssh_host_rsa_key", &[Ed25519], vec![(etc(), vec![Rsa])]),
            ("HostKey /data/ssh_host_ed25519_key", &KeyType::ALL, vec![("/data".into(), vec![Ed25519])]),
            ("HostKey /etc/ssh/my_own_key", &KeyType::ALL, vec![]),
            ("HostKeyAlgorithms -ssh-ed25519", &KeyType::ALL, vec![(etc(), vec![Ecdsa, Rsa])]),
        ] {
            let wanted: Vec<_> = served(text).wanted(&etc(), types).into_iter().collect();
            assert_eq!(wanted, expected, "{text} {types:?}");
        }
        let without_sshd: Vec<_> = Served::by_name().wanted(&etc(), &KeyType::ALL).into_iter().collect();
        assert_eq!(without_sshd, all());
    }
}

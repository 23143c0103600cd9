//! Plans what to do about each host key: the smallest change after which sshd serves it. Pure.

use std::collections::BTreeSet;
use std::fmt;

use crate::host_keys::key::key_type::KeyType;
use crate::host_keys::key::public_key::PublicKey;
use crate::host_keys::sshd::effective::{EffectiveHostKeys, conventional_type};
use crate::host_keys::store::key_content::KeyContent;
use crate::host_keys::store::key_file::{KeyAccess, KeyFile, PrivateFile, PublicFile};
use crate::host_keys::store::mounts::Obstacle;

/// The largest RSA key, in bits, that is made to replace one of the same size. Larger keys take minutes.
const MAX_RSA_BITS: usize = 8192;
/// The size of the RSA keys that ssh-keygen makes by default.
const DEFAULT_RSA_BITS: usize = 3072;

/// What to do about one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyPlan {
    /// Nothing; the key is as it should be.
    Keep,
    /// Keep the private key, and repair its form, mode, owner or public key.
    Repair(KeyRepairs),
    /// Make a key.
    Make {
        /// Its type and size.
        kind: NewKey,
        /// Whether the existing file is kept under another name: it is no usable key, but may be of use to somebody.
        set_aside: bool,
    },
    /// Remove the key: it is another Instance's, and the configuration wants no key of its type.
    Remove,
    /// Nothing, and report the reason.
    Skip(SkipReason),
    /// Nothing, and no report: sshd does not serve the key, and need not.
    Ignore,
}

/// A key for ssh-keygen to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewKey {
    /// The type, as in `ssh-keygen -t`.
    pub keygen_type: String,
    /// The size in bits, if it is not ssh-keygen's default.
    pub bits: Option<usize>,
}

/// The repairs around a complete private key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyRepairs {
    /// The text to write: the private key in the form that sshd loads.
    pub text: Option<Vec<u8>>,
    /// The public key to write beside it.
    pub public_key: Option<PublicKey>,
    /// The mode to set. Others can read the private key, so sshd refuses to use it.
    pub mode: Option<u32>,
    /// Whether root must become the owner: the private key belongs to another user.
    pub owner: bool,
}

impl fmt::Display for KeyRepairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = self.mode.map(|mode| format!("its mode was changed to {mode:04o}"));
        let parts = [
            self.text.is_some().then(|| "its text was rewritten in the form that sshd loads".to_owned()),
            self.public_key.is_some().then(|| "its public key was derived again".to_owned()),
            mode,
            self.owner.then(|| "its owner was changed to root".to_owned()),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
    }
}

/// Why a key is not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SkipReason {
    /// The file cannot be read, or ssh-keygen gives no answer.
    Unreadable(String),
    /// This process cannot see whether the key exists.
    NotVisible(Obstacle),
    /// It has a passphrase.
    Encrypted,
    /// Its file has a public key, and there is no agent that could have the private one.
    PublicOnly,
    /// The private key is in the agent that sshd uses.
    InAgent,
    /// There is no key, and neither its name nor a `.pub` shows which type to make.
    UnknownType,
}

/// The rules for the keys of this machine.
#[derive(Debug)]
pub(crate) struct Rules<'a> {
    /// The effective host keys of sshd's configuration.
    pub effective: &'a EffectiveHostKeys,
    /// The setting `[host-keys] types`. If it has all three types, it means every type.
    pub types: &'a [KeyType],
    /// Whether only certified algorithms may be used (FIPS). OpenSSH refuses ed25519 then.
    pub only_certified: bool,
}

impl Rules<'_> {
    /// The plan for each of these keys, all of which sshd's configuration names.
    pub(crate) fn plan(&self, files: &[KeyFile]) -> Vec<KeyPlan> {
        let wanted = self.wanted(files);
        files.iter().zip(wanted).map(|(file, wanted)| self.plan_one(file, wanted)).collect()
    }

    /// The plan of a renewal: all keys are another Instance's, except those with these fingerprints.
    pub(crate) fn plan_renewal(&self, files: &[KeyFile], renewed: &BTreeSet<String>) -> Vec<KeyPlan> {
        let wanted = self.wanted(files);
        let is_renewed = |file: &KeyFile| {
            let content =
                if let PrivateFile::Found(content) = &file.private { content.public() } else { None };
            content.is_some_and(|key| renewed.contains(&key.fingerprint()))
        };
        let plan = |(file, wanted)| {
            if is_renewed(file) { self.plan_one(file, wanted) } else { self.renew_one(file, wanted) }
        };
        files.iter().zip(wanted).map(plan).collect()
    }

    /// For each key, whether its type is configured. If that is true for none of them, all are wanted: sshd does not start without a key.
    fn wanted(&self, files: &[KeyFile]) -> Vec<bool> {
        let all = KeyType::ALL.iter().all(|kind| self.types.contains(kind));
        let kinds: Vec<_> =
            files.iter().map(|file| self.new_key(file).map(|kind| kind.keygen_type)).collect();
        let is_named = |kind: &String| self.types.iter().any(|wanted| wanted.to_string() == *kind);
        let none = !kinds.iter().flatten().any(is_named);
        let is_certified = |kind: &String| !self.only_certified || kind != "ed25519";
        let is_wanted = |kind: Option<&String>| match kind {
            Some(kind) => (all || none || is_named(kind)) && is_certified(kind),
            None => all || none,
        };
        kinds.iter().map(|kind| is_wanted(kind.as_ref())).collect()
    }

    fn plan_one(&self, file: &KeyFile, wanted: bool) -> KeyPlan {
        let content = match &file.private {
            PrivateFile::Missing | PrivateFile::Empty => return self.make(file, wanted, false),
            PrivateFile::NotVisible(obstacle) => {
                return KeyPlan::Skip(SkipReason::NotVisible(obstacle.clone()));
            }
            PrivateFile::Unreadable(why) => return KeyPlan::Skip(SkipReason::Unreadable(why.to_string())),
            PrivateFile::Found(content) => content,
        };
        let (key, text) = match content {
            KeyContent::Usable(key) => (key, None),
            KeyContent::Damaged(key, text) => (key, Some(text.clone())),
            _ if self.may_be_in_agent(file) => return KeyPlan::Skip(SkipReason::InAgent),
            KeyContent::Encrypted(_) => return KeyPlan::Skip(SkipReason::Encrypted),
            KeyContent::PublicOnly(_) => return KeyPlan::Skip(SkipReason::PublicOnly),
            KeyContent::Unusable => return self.make(file, wanted, true),
        };
        let mode = file.access.filter(|access| access.mode & !access.allowed() & 0o077 != 0);
        let repairs = KeyRepairs {
            text,
            public_key: (!matches!(file.public, PublicFile::Same(_))).then(|| key.clone()),
            mode: mode.map(|access| access.mode & access.allowed()),
            owner: file.access.is_some_and(|access: KeyAccess| !access.is_owned_by_self),
        };
        if repairs == KeyRepairs::default() { KeyPlan::Keep } else { KeyPlan::Repair(repairs) }
    }

    fn renew_one(&self, file: &KeyFile, wanted: bool) -> KeyPlan {
        let content = match &file.private {
            PrivateFile::Found(content) => content,
            _ => return self.plan_one(file, wanted),
        };
        if self.may_be_in_agent(file) {
            return KeyPlan::Skip(SkipReason::InAgent);
        }
        match self.new_key(file) {
            Some(_) if !wanted && conventional_type(&file.path).is_some() => KeyPlan::Remove,
            Some(kind) if *content == KeyContent::Unusable => {
                if self.may_be_made(&kind) {
                    KeyPlan::Make { kind, set_aside: true }
                } else {
                    KeyPlan::Ignore
                }
            }
            Some(kind) => KeyPlan::Make { kind, set_aside: false },
            // It has a passphrase, or it is no key at all: sshd does not serve it.
            None => KeyPlan::Ignore,
        }
    }

    fn make(&self, file: &KeyFile, wanted: bool, set_aside: bool) -> KeyPlan {
        if self.may_be_in_agent(file) {
            return KeyPlan::Skip(SkipReason::InAgent);
        }
        match self.new_key(file) {
            Some(kind) if wanted && self.may_be_made(&kind) => KeyPlan::Make { kind, set_aside },
            Some(_) => KeyPlan::Ignore,
            None if wanted => KeyPlan::Skip(SkipReason::UnknownType),
            None => KeyPlan::Ignore,
        }
    }

    /// Whether the private key may be in sshd's agent.
    pub(crate) fn may_be_in_agent(&self, file: &KeyFile) -> bool {
        self.effective.agent.is_some() && file.key_in_agent().is_some()
    }

    /// Whether sshd would serve a key of this type.
    fn may_be_made(&self, kind: &NewKey) -> bool {
        self.is_algorithm(&kind.keygen_type) || self.accepted(&kind.keygen_type).is_some()
    }

    /// Whether the type is the name of an accepted algorithm. That is so for types that this program does not know.
    fn is_algorithm(&self, keygen_type: &str) -> bool {
        keygen_type.contains("ssh-") && self.effective.accepts(keygen_type)
    }

    fn accepted(&self, keygen_type: &str) -> Option<String> {
        self.effective.accepted_algorithm(keygen_type)
    }

    /// The key to make for this file. Its type is that of the existing key, or the one in the file name, or that of the `.pub`.
    pub(crate) fn new_key(&self, file: &KeyFile) -> Option<NewKey> {
        let content = match &file.private {
            PrivateFile::Found(content) => content.public(),
            _ => None,
        };
        if let Some(key) = content {
            return Some(self.key_like(key));
        }
        if let Some(keygen_type) = conventional_type(&file.path) {
            let bits = self.accepted(&keygen_type).and_then(|name| self.bits_of_algorithm(&name));
            return Some(NewKey { keygen_type, bits });
        }
        match &file.public {
            PublicFile::Other(key) => Some(self.key_like(key)),
            _ => None,
        }
    }

    /// A new key of the same type and size.
    fn key_like(&self, key: &PublicKey) -> NewKey {
        let keygen_type = match &*key.algorithm {
            "ssh-rsa" => "rsa",
            "ssh-ed25519" => "ed25519",
            "ssh-dss" => "dsa",
            name if name.starts_with("ecdsa-sha2-nistp") => "ecdsa",
            name => name,
        };
        let bits = match keygen_type {
            "rsa" => self.rsa_bits(key.bits.min(MAX_RSA_BITS)),
            _ => self.bits_of_algorithm(&key.algorithm),
        };
        NewKey { keygen_type: keygen_type.to_owned(), bits }
    }

    fn bits_of_algorithm(&self, algorithm: &str) -> Option<usize> {
        match algorithm {
            "ssh-rsa" => self.rsa_bits(0),
            "ecdsa-sha2-nistp384" => Some(384),
            "ecdsa-sha2-nistp521" => Some(521),
            _ => None,
        }
    }

    /// The size for a new RSA key: at least as many bits as sshd requires.
    fn rsa_bits(&self, at_least: usize) -> Option<usize> {
        let bits = at_least.max(self.effective.required_rsa.unwrap_or_default());
        (bits > DEFAULT_RSA_BITS).then_some(bits)
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => {
                write!(f, "the private key cannot be read, so it is not changed: {why}")
            }
            Self::NotVisible(Obstacle::Hidden(folder)) => {
                write!(f, "{} is hidden from this unit, so the key is not changed", folder.display())
            }
            Self::NotVisible(Obstacle::NotMounted(folder)) => {
                write!(f, "{} is not mounted, so the key is not changed", folder.display())
            }
            Self::Encrypted => {
                f.write_str("the private key has a passphrase, so sshd cannot use it; it is not changed")
            }
            Self::PublicOnly => f.write_str(
                "the file has a public key, which sshd serves only with a HostKeyAgent; it is not changed",
            ),
            Self::InAgent => f.write_str("the private key is in sshd's HostKeyAgent; it is not changed"),
            Self::UnknownType => f.write_str(
                "there is no key, and its name does not show the type; make it with ssh-keygen -f",
            ),
        }
    }
}

#[cfg(test)]
mod tests;

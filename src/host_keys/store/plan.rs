//! What to do about a host key: the least that makes sshd serve it. Pure.

use std::collections::BTreeSet;
use std::fmt;

use crate::host_keys::key::key_type::KeyType;
use crate::host_keys::key::public_key::PublicKey;
use crate::host_keys::sshd::effective::{EffectiveHostKeys, conventional_type};
use crate::host_keys::store::key_content::KeyContent;
use crate::host_keys::store::key_file::{KeyAccess, KeyFile, Private, PublicFile};
use crate::host_keys::store::mounts::Obstacle;

/// The largest RSA key that is made only because the one before it was as large: larger ones take minutes.
const MAX_RSA_BITS: usize = 8192;
/// What ssh-keygen makes by default.
const DEFAULT_RSA_BITS: usize = 3072;

/// What to do about one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyPlan {
    /// Nothing: all is well.
    Keep,
    /// Keep the private key and repair what is around it.
    Mend(Mending),
    /// Make a key.
    Make {
        /// Its type and size.
        kind: NewKey,
        /// What is in its place is kept under another name: it is no usable key, and somebody's file.
        set_aside: bool,
    },
    /// Remove it: another Instance's key, of a type that is not to be made here.
    Remove,
    /// Nothing, and say why.
    LeaveAlone(Reason),
    /// Nothing, and there is nothing to say: sshd does not serve it, and need not.
    Ignore,
}

/// A key that ssh-keygen is to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewKey {
    /// As `ssh-keygen -t` takes it.
    pub keygen_type: String,
    /// Its size, where it is not ssh-keygen's default.
    pub bits: Option<usize>,
}

/// What is wrong around a whole private key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mending {
    /// The private key's text in the form that sshd loads.
    pub text: Option<Vec<u8>>,
    /// The public key to write beside it.
    pub public_key: Option<PublicKey>,
    /// The private key can be read by others, and sshd refuses to use it so: the mode that it gets.
    pub mode: Option<u32>,
    /// The private key belongs to somebody else.
    pub owner: bool,
}

impl fmt::Display for Mending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = self.mode.map(|mode| format!("its mode was narrowed to {mode:04o}"));
        let parts = [
            self.text.is_some().then(|| "its text was rewritten in the form that sshd loads".to_owned()),
            self.public_key.is_some().then(|| "its public key was derived again".to_owned()),
            mode,
            self.owner.then(|| "it was given back to root".to_owned()),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
    }
}

/// Why a key is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The file cannot be read, or ssh-keygen gives no answer.
    Unreadable(String),
    /// Whether there is a key cannot be seen.
    Unseen(Obstacle),
    /// It is behind a passphrase.
    Locked,
    /// There is a public key in its place, and no agent that could have the private one.
    PublicOnly,
    /// The private key is in the agent that sshd uses.
    HeldByAgent,
    /// There is none, and neither its name nor a `.pub` tells of which type it is to be.
    UnknownType,
}

/// What the machine wants of its keys.
#[derive(Debug)]
pub(crate) struct Rules<'a> {
    /// What sshd is configured with.
    pub effective: &'a EffectiveHostKeys,
    /// `[host-keys] types`; all three of them stand for every type.
    pub types: &'a [KeyType],
    /// Only certified algorithms may be used: OpenSSH refuses ed25519 there.
    pub only_certified: bool,
}

impl Rules<'_> {
    /// What to do about each of the keys, all of which sshd names.
    pub(crate) fn plan(&self, files: &[KeyFile]) -> Vec<KeyPlan> {
        let wanted = self.wanted(files);
        files.iter().zip(wanted).map(|(file, wanted)| self.plan_one(file, wanted)).collect()
    }

    /// The same where all of them are another Instance's, but for those with these fingerprints.
    pub(crate) fn plan_renewal(&self, files: &[KeyFile], renewed: &BTreeSet<String>) -> Vec<KeyPlan> {
        let wanted = self.wanted(files);
        let is_renewed = |file: &KeyFile| {
            let content = if let Private::Found(content) = &file.private { content.public() } else { None };
            content.is_some_and(|key| renewed.contains(&key.fingerprint()))
        };
        let plan = |(file, wanted)| {
            if is_renewed(file) { self.plan_one(file, wanted) } else { self.renew_one(file, wanted) }
        };
        files.iter().zip(wanted).map(plan).collect()
    }

    /// Which of the keys are of the configured types: all of them where none is, since without any key sshd does not start.
    fn wanted(&self, files: &[KeyFile]) -> Vec<bool> {
        let all = KeyType::ALL.iter().all(|kind| self.types.contains(kind));
        let kinds: Vec<_> = files.iter().map(|file| self.kind(file).map(|kind| kind.keygen_type)).collect();
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
            Private::Missing | Private::Empty => return self.make(file, wanted, false),
            Private::Unseen(obstacle) => return KeyPlan::LeaveAlone(Reason::Unseen(obstacle.clone())),
            Private::Unreadable(why) => return KeyPlan::LeaveAlone(Reason::Unreadable(why.to_string())),
            Private::Found(content) => content,
        };
        let (key, text) = match content {
            KeyContent::Usable(key) => (key, None),
            KeyContent::Damaged(key, text) => (key, Some(text.clone())),
            _ if self.is_held_by_agent(file) => return KeyPlan::LeaveAlone(Reason::HeldByAgent),
            KeyContent::Locked(_) => return KeyPlan::LeaveAlone(Reason::Locked),
            KeyContent::PublicOnly(_) => return KeyPlan::LeaveAlone(Reason::PublicOnly),
            KeyContent::Unusable => return self.make(file, wanted, true),
        };
        let mode = file.access.filter(|access| access.mode & !access.allowed() & 0o077 != 0);
        let mending = Mending {
            text,
            public_key: (!matches!(file.public, PublicFile::Same(_))).then(|| key.clone()),
            mode: mode.map(|access| access.mode & access.allowed()),
            owner: file.access.is_some_and(|access: KeyAccess| !access.ours),
        };
        if mending == Mending::default() { KeyPlan::Keep } else { KeyPlan::Mend(mending) }
    }

    fn renew_one(&self, file: &KeyFile, wanted: bool) -> KeyPlan {
        let content = match &file.private {
            Private::Found(content) => content,
            _ => return self.plan_one(file, wanted),
        };
        if self.is_held_by_agent(file) {
            return KeyPlan::LeaveAlone(Reason::HeldByAgent);
        }
        match self.kind(file) {
            Some(_) if !wanted && conventional_type(&file.path).is_some() => KeyPlan::Remove,
            Some(kind) if *content == KeyContent::Unusable => {
                if self.may_be_made(&kind) {
                    KeyPlan::Make { kind, set_aside: true }
                } else {
                    KeyPlan::Ignore
                }
            }
            Some(kind) => KeyPlan::Make { kind, set_aside: false },
            // Behind a passphrase or no key at all: sshd does not serve it.
            None => KeyPlan::Ignore,
        }
    }

    fn make(&self, file: &KeyFile, wanted: bool, set_aside: bool) -> KeyPlan {
        if self.is_held_by_agent(file) {
            return KeyPlan::LeaveAlone(Reason::HeldByAgent);
        }
        match self.kind(file) {
            Some(kind) if wanted && self.may_be_made(&kind) => KeyPlan::Make { kind, set_aside },
            Some(_) => KeyPlan::Ignore,
            None if wanted => KeyPlan::LeaveAlone(Reason::UnknownType),
            None => KeyPlan::Ignore,
        }
    }

    /// Whether the private key may be in sshd's agent.
    pub(crate) fn is_held_by_agent(&self, file: &KeyFile) -> bool {
        self.effective.agent.is_some() && file.held_by_agent().is_some()
    }

    /// Whether sshd would serve such a key.
    fn may_be_made(&self, kind: &NewKey) -> bool {
        self.is_algorithm(&kind.keygen_type) || self.accepted(&kind.keygen_type).is_some()
    }

    /// Whether it is an accepted algorithm's own name, as a type that this program does not know has it.
    fn is_algorithm(&self, keygen_type: &str) -> bool {
        keygen_type.contains("ssh-") && self.effective.accepts(keygen_type)
    }

    fn accepted(&self, keygen_type: &str) -> Option<String> {
        self.effective.accepted_algorithm(keygen_type)
    }

    /// The key to make in this place: of the type of what stands there, or of its name, or of the `.pub` beside it.
    pub(crate) fn kind(&self, file: &KeyFile) -> Option<NewKey> {
        let content = match &file.private {
            Private::Found(content) => content.public(),
            _ => None,
        };
        if let Some(key) = content {
            return Some(self.like(key));
        }
        if let Some(keygen_type) = conventional_type(&file.path) {
            let bits = self.accepted(&keygen_type).and_then(|name| self.bits_of_algorithm(&name));
            return Some(NewKey { keygen_type, bits });
        }
        match &file.public {
            PublicFile::Other(key) => Some(self.like(key)),
            _ => None,
        }
    }

    /// A key like this one.
    fn like(&self, key: &PublicKey) -> NewKey {
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

    /// At least as many as sshd requires.
    fn rsa_bits(&self, at_least: usize) -> Option<usize> {
        let bits = at_least.max(self.effective.required_rsa.unwrap_or_default());
        (bits > DEFAULT_RSA_BITS).then_some(bits)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => {
                write!(f, "the private key cannot be read, and so is left alone: {why}")
            }
            Self::Unseen(Obstacle::Hidden(folder)) => {
                write!(f, "{} is hidden from this unit, so the key is left alone", folder.display())
            }
            Self::Unseen(Obstacle::NotMounted(folder)) => {
                write!(f, "{} is not mounted, so the key is left alone", folder.display())
            }
            Self::Locked => {
                f.write_str("the private key is behind a passphrase, so sshd cannot use it; it is left alone")
            }
            Self::PublicOnly => f.write_str(
                "the file holds a public key, which sshd serves only with a HostKeyAgent; it is left alone",
            ),
            Self::HeldByAgent => f.write_str("the private key is in sshd's HostKeyAgent, and is left alone"),
            Self::UnknownType => f.write_str(
                "there is no key, and its name does not tell the type; make it with ssh-keygen -f",
            ),
        }
    }
}

#[cfg(test)]
mod tests;

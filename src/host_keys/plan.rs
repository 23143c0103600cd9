//! What to do about the state of a key: the least that mends it. Pure.

use std::fmt;

use super::inspect::{Access, KeyFiles, Private, Public};
use super::private_key::PrivateKey;
use super::public_key::PublicKey;

/// What to do for one type of key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: all is well.
    Keep,
    /// Keep the private key and mend what is around it.
    Mend(Mending),
    /// Make a key: there is none, or what is there can be none (law H1).
    Make {
        /// Something is in its place, which is kept under another name.
        set_aside: bool,
    },
    /// Only `ssh-keygen` can tell what this is; then plan again.
    AskKeygen,
    /// Nothing, and say why: it cannot be judged, or is not ours to judge (law H1: unknown is not new).
    LeaveAlone(Reason),
}

/// What is wrong around a whole private key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mending {
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
            self.public_key.is_some().then(|| "its public key was derived again".to_owned()),
            mode,
            self.owner.then(|| "it was given back to root".to_owned()),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
    }
}

/// Why a key is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The file cannot be read.
    Unreadable,
    /// It is behind a passphrase.
    Locked,
}

/// Decides. `key_group` is the group of those programs that may read host keys (RHEL's `ssh_keys`), where the system has one.
pub fn plan(files: &KeyFiles, key_group: Option<u32>) -> Plan {
    let key = match &files.private {
        Private::Missing => return Plan::Make { set_aside: false },
        Private::Empty => return Plan::Make { set_aside: false },
        Private::Unreadable(_) => return Plan::LeaveAlone(Reason::Unreadable),
        Private::Found(PrivateKey::Broken) => return Plan::Make { set_aside: true },
        Private::Found(PrivateKey::Locked) => return Plan::LeaveAlone(Reason::Locked),
        Private::Found(PrivateKey::OtherForm) => return Plan::AskKeygen,
        Private::Found(PrivateKey::Whole(key)) => key,
    };
    let matches = matches!(&files.public, Public::Good(public) if public.is_same_key(key));
    let mending = Mending {
        public_key: (!matches).then(|| key.clone()),
        mode: files.access.and_then(|access| narrowed(access, key_group)),
        owner: files.access.is_some_and(|access| !access.ours),
    };
    if mending == Mending::default() { Plan::Keep } else { Plan::Mend(mending) }
}

/// The mode that a private key should have instead, if its own lets others in.
fn narrowed(access: Access, key_group: Option<u32>) -> Option<u32> {
    let allowed = if key_group == Some(access.group) { 0o640 } else { 0o600 };
    (access.mode & !allowed & 0o077 != 0).then_some(access.mode & allowed)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC";
    const KEY_GROUP: u32 = 998;

    fn key(text: &str) -> PublicKey {
        PublicKey::parse(text).expect("a good key")
    }

    fn whole() -> Private {
        Private::Found(PrivateKey::Whole(key(KEY)))
    }

    fn planned(private: Private, public: Public, mode: u32, ours: bool, group: u32) -> Plan {
        plan(&KeyFiles { private, public, access: Some(Access { mode, ours, group }) }, Some(KEY_GROUP))
    }

    #[test]
    fn h1_a_key_is_made_only_on_proof_that_there_is_none() {
        let denied = Private::Unreadable(io::ErrorKind::PermissionDenied.into());
        for (private, expected) in [
            (Private::Missing, Plan::Make { set_aside: false }),
            (Private::Empty, Plan::Make { set_aside: false }),
            (Private::Found(PrivateKey::Broken), Plan::Make { set_aside: true }),
            (Private::Found(PrivateKey::Locked), Plan::LeaveAlone(Reason::Locked)),
            (Private::Found(PrivateKey::OtherForm), Plan::AskKeygen),
            (denied, Plan::LeaveAlone(Reason::Unreadable)),
            (whole(), Plan::Keep),
        ] {
            let what = format!("{private:?}");
            assert_eq!(planned(private, Public::Good(key(KEY)), 0o600, true, 0), expected, "{what}");
        }
    }

    #[test]
    fn h2_what_is_wrong_around_a_whole_key_is_mended_and_the_key_stays() {
        let mend = |public_key: bool, mode, owner| {
            Plan::Mend(Mending { public_key: public_key.then(|| key(KEY)), mode, owner })
        };
        let good = || Public::Good(key(&format!("{KEY} another comment")));
        for (public, mode, ours, group, expected) in [
            (good(), 0o600, true, 0, Plan::Keep),
            (good(), 0o400, true, 0, Plan::Keep),
            (good(), 0o640, true, KEY_GROUP, Plan::Keep),
            (good(), 0o640, true, 0, mend(false, Some(0o600), false)),
            (good(), 0o644, true, 0, mend(false, Some(0o600), false)),
            (good(), 0o664, true, KEY_GROUP, mend(false, Some(0o640), false)),
            (good(), 0o600, false, 0, mend(false, None, true)),
            (Public::Lost, 0o600, true, 0, mend(true, None, false)),
            (Public::Good(key(OTHER)), 0o777, false, 0, mend(true, Some(0o600), true)),
        ] {
            let what = format!("{public:?} {mode:o} {ours} {group}");
            assert_eq!(planned(whole(), public, mode, ours, group), expected, "{what}");
        }
    }
}

//! Tables with the plan for a key in every state.

use std::io;
use std::path::Path;

use super::*;
use crate::host_keys::sshd::config::SshdConfig;
use crate::host_keys::sshd::effective::ConfigSource;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB";
const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC";

fn key(text: &str) -> PublicKey {
    PublicKey::parse(text).expect("a good key")
}

fn usable() -> PrivateFile {
    PrivateFile::Found(KeyContent::Usable(key(KEY)))
}

fn same() -> PublicFile {
    PublicFile::Same("a comment".to_owned())
}

fn file(path: &str, private: PrivateFile, public: PublicFile) -> KeyFile {
    let access = Some(KeyAccess { mode: 0o600, is_owned_by_self: true, group_may_read: false });
    KeyFile { path: path.into(), target: path.into(), private, public, access }
}

fn effective(text: &str) -> EffectiveHostKeys {
    EffectiveHostKeys::configured(SshdConfig::parse_printed(text), ConfigSource::Sshd, Path::new("/etc/ssh"))
}

fn made(keygen_type: &str, bits: Option<usize>, set_aside: bool) -> KeyPlan {
    KeyPlan::Make { kind: NewKey { keygen_type: keygen_type.to_owned(), bits }, set_aside }
}

const ED25519: &str = "/etc/ssh/ssh_host_ed25519_key";

#[test]
fn h1_key_is_made_only_where_there_is_none() {
    let denied = || PrivateFile::Unreadable(io::ErrorKind::PermissionDenied.into());
    let hidden = Obstacle::Hidden("/root".into());
    let effective = effective("");
    let rules = Rules { effective: &effective, types: &KeyType::ALL, only_certified: false };
    for (private, expected, renewed) in [
        (PrivateFile::Missing, made("ed25519", None, false), made("ed25519", None, false)),
        (PrivateFile::Empty, made("ed25519", None, false), made("ed25519", None, false)),
        (PrivateFile::Found(KeyContent::Unusable), made("ed25519", None, true), made("ed25519", None, true)),
        (
            PrivateFile::Found(KeyContent::Encrypted(None)),
            KeyPlan::Skip(SkipReason::Encrypted),
            made("ed25519", None, false),
        ),
        (
            PrivateFile::Found(KeyContent::PublicOnly(key(KEY))),
            KeyPlan::Skip(SkipReason::PublicOnly),
            made("ed25519", None, false),
        ),
        (usable(), KeyPlan::Keep, made("ed25519", None, false)),
    ] {
        let what = format!("{private:?}");
        let files = [file(ED25519, private, same())];
        assert_eq!(rules.plan(&files), [expected], "{what}");
        assert_eq!(rules.plan_renewal(&files, &BTreeSet::new()), [renewed], "another Instance: {what}");
        // A key that an earlier attempt has made stays.
        let fingerprint = BTreeSet::from([key(KEY).fingerprint()]);
        if matches!(files[0].private, PrivateFile::Found(KeyContent::Usable(_))) {
            assert_eq!(rules.plan_renewal(&files, &fingerprint), [KeyPlan::Keep], "{what}");
        }
    }
    for (private, reason) in [
        (denied(), SkipReason::Unreadable("permission denied".to_owned())),
        (PrivateFile::NotVisible(hidden.clone()), SkipReason::NotVisible(hidden.clone())),
    ] {
        let files = [file(ED25519, private, same())];
        assert_eq!(rules.plan(&files), [KeyPlan::Skip(reason.clone())]);
        assert_eq!(rules.plan_renewal(&files, &BTreeSet::new()), [KeyPlan::Skip(reason)]);
    }
}

#[test]
fn h2_mode_owner_and_public_key_are_repaired() {
    let repair = |public_key: bool, mode, owner| {
        KeyPlan::Repair(KeyRepairs { text: None, public_key: public_key.then(|| key(KEY)), mode, owner })
    };
    let effective = effective("");
    let rules = Rules { effective: &effective, types: &KeyType::ALL, only_certified: false };
    for (public, mode, is_owned_by_self, group_may_read, expected) in [
        (same(), 0o600, true, false, KeyPlan::Keep),
        (same(), 0o400, true, false, KeyPlan::Keep),
        (same(), 0o640, true, true, KeyPlan::Keep),
        (same(), 0o640, true, false, repair(false, Some(0o600), false)),
        (same(), 0o644, true, false, repair(false, Some(0o600), false)),
        (same(), 0o664, true, true, repair(false, Some(0o640), false)),
        (same(), 0o600, false, false, repair(false, None, true)),
        (PublicFile::Unusable, 0o600, true, false, repair(true, None, false)),
        (PublicFile::Other(key(OTHER)), 0o777, false, false, repair(true, Some(0o600), true)),
    ] {
        let what = format!("{public:?} {mode:o} {is_owned_by_self} {group_may_read}");
        let mut key_file = file(ED25519, usable(), public);
        key_file.access = Some(KeyAccess { mode, is_owned_by_self, group_may_read });
        assert_eq!(rules.plan(&[key_file]), [expected], "{what}");
    }
    let damaged = file(ED25519, PrivateFile::Found(KeyContent::Damaged(key(KEY), b"text".to_vec())), same());
    let expected = KeyRepairs { text: Some(b"text".to_vec()), ..KeyRepairs::default() };
    assert_eq!(rules.plan(&[damaged]), [KeyPlan::Repair(expected)]);
}

/// A key file with a name of the administrator's choice.
const OWN_PATH: &str = "/etc/ssh/my_own_key";

/// Path, private key, public key, lines of sshd's configuration, expected plan.
type NewKeyCase = (&'static str, PrivateFile, PublicFile, &'static str, KeyPlan);

fn new_key_cases() -> [NewKeyCase; 15] {
    let rsa = |bits| {
        let mut key = key(KEY);
        (key.algorithm, key.bits) = ("ssh-rsa".to_owned(), bits);
        PrivateFile::Found(KeyContent::Usable(key))
    };
    let key_of = |algorithm: &str| {
        let mut key = key(KEY);
        key.algorithm = algorithm.to_owned();
        PrivateFile::Found(KeyContent::Usable(key))
    };
    [
        (OWN_PATH, usable(), same(), "", made("ed25519", None, false)),
        (OWN_PATH, PrivateFile::Missing, PublicFile::Other(key(KEY)), "", made("ed25519", None, false)),
        (OWN_PATH, PrivateFile::Missing, PublicFile::Unusable, "", KeyPlan::Skip(SkipReason::UnknownType)),
        (OWN_PATH, rsa(2048), same(), "", made("rsa", None, false)),
        (OWN_PATH, rsa(4096), same(), "", made("rsa", Some(4096), false)),
        (OWN_PATH, rsa(16384), same(), "", made("rsa", Some(8192), false)),
        (OWN_PATH, rsa(2048), same(), "RequiredRSASize 4096", made("rsa", Some(4096), false)),
        (OWN_PATH, key_of("ecdsa-sha2-nistp521"), same(), "", made("ecdsa", Some(521), false)),
        (OWN_PATH, key_of("ssh-mldsa44-ed25519"), same(), "", made("ssh-mldsa44-ed25519", None, false)),
        ("/etc/ssh/ssh_host_rsa_key", usable(), same(), "", made("ed25519", None, false)),
        (
            "/etc/ssh/ssh_host_rsa_key",
            PrivateFile::Missing,
            PublicFile::Other(key(KEY)),
            "",
            made("rsa", None, false),
        ),
        (
            "/x/ssh_host_rsa_key",
            PrivateFile::Missing,
            PublicFile::Unusable,
            "RequiredRSASize 4096",
            made("rsa", Some(4096), false),
        ),
        (
            "/x/ssh_host_ecdsa_key",
            PrivateFile::Missing,
            PublicFile::Unusable,
            "HostKeyAlgorithms ecdsa-sha2-nistp521",
            made("ecdsa", Some(521), false),
        ),
        (
            "/x/ssh_host_dsa_key",
            PrivateFile::Missing,
            PublicFile::Unusable,
            "HostKeyAlgorithms ssh-ed25519",
            KeyPlan::Ignore,
        ),
        (
            "/x/ssh_host_mldsa44_ed25519_key",
            PrivateFile::Missing,
            PublicFile::Unusable,
            "HostKeyAlgorithms ssh-mldsa44-ed25519",
            made("mldsa44-ed25519", None, false),
        ),
    ]
}

#[test]
fn h1_new_key_has_the_type_of_the_old_one() {
    for (path, private, public, lines, expected) in new_key_cases() {
        let effective = effective(lines);
        let rules = Rules { effective: &effective, types: &KeyType::ALL, only_certified: false };
        let what = format!("{path} {private:?} {public:?} {lines}");
        assert_eq!(
            rules.plan_renewal(&[file(path, private, public)], &BTreeSet::new()),
            [expected],
            "{what}"
        );
    }
}

#[test]
fn h1_key_in_an_agent_is_never_overwritten() {
    let effective = effective("HostKeyAgent /run/agent");
    let rules = Rules { effective: &effective, types: &KeyType::ALL, only_certified: false };
    let held = || KeyPlan::Skip(SkipReason::InAgent);
    for (private, public) in [
        (PrivateFile::Missing, PublicFile::Other(key(KEY))),
        (PrivateFile::Empty, PublicFile::Other(key(KEY))),
        (PrivateFile::Found(KeyContent::Unusable), PublicFile::Other(key(KEY))),
        (PrivateFile::Found(KeyContent::Encrypted(Some(key(KEY)))), PublicFile::Unusable),
        (PrivateFile::Found(KeyContent::PublicOnly(key(KEY))), PublicFile::Unusable),
    ] {
        let files = [file(ED25519, private, public)];
        assert_eq!(
            (rules.plan(&files), rules.plan_renewal(&files, &BTreeSet::new())),
            (vec![held()], vec![held()])
        );
    }
    // An agent changes nothing for other keys.
    assert_eq!(
        rules.plan(&[file(ED25519, PrivateFile::Missing, PublicFile::Unusable)]),
        [made("ed25519", None, false)]
    );
    assert_eq!(rules.plan(&[file(ED25519, usable(), same())]), [KeyPlan::Keep]);
}

#[test]
fn only_keys_of_configured_types_are_made() {
    use KeyType::{Ed25519, Rsa};
    let default = "HostKeyAlgorithms ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,ssh-mldsa44-ed25519";
    for (lines, types, only_certified, expected) in [
        ("", &KeyType::ALL[..], false, &["rsa", "ecdsa", "ed25519"][..]),
        ("", &[Ed25519], false, &["ed25519"]),
        ("", &KeyType::ALL, true, &["rsa", "ecdsa"]),
        ("HostKey /x/ssh_host_rsa_key", &[Ed25519], false, &["rsa"]),
        (
            "HostKey /x/ssh_host_rsa_key\nHostKey /x/ssh_host_mldsa44_ed25519_key",
            &KeyType::ALL,
            false,
            &["rsa", "mldsa44-ed25519"],
        ),
        ("HostKey /x/ssh_host_rsa_key\nHostKey /x/ssh_host_mldsa44_ed25519_key", &[Rsa], false, &["rsa"]),
    ] {
        let effective = effective(&format!("{lines}\n{default}"));
        let rules = Rules { effective: &effective, types, only_certified };
        let missing = |path: &std::path::PathBuf| {
            let path = path.to_str().expect("UTF-8");
            file(path, PrivateFile::Missing, PublicFile::Unusable)
        };
        let files: Vec<_> = effective.files.iter().map(missing).collect();
        let kinds: Vec<_> = rules
            .plan(&files)
            .into_iter()
            .filter_map(|plan| match plan {
                KeyPlan::Make { kind, .. } => Some(kind.keygen_type),
                _ => None,
            })
            .collect();
        assert_eq!(kinds, expected, "{lines} {types:?}");
    }
    // A key of another Instance whose type is not configured is removed if it has a conventional name.
    let effective = effective("");
    let rules = Rules { effective: &effective, types: &[Ed25519], only_certified: false };
    let mut rsa = key(KEY);
    rsa.algorithm = "ssh-rsa".to_owned();
    let rsa = |path| file(path, PrivateFile::Found(KeyContent::Usable(rsa.clone())), same());
    let plans = rules.plan_renewal(
        &[file(ED25519, usable(), same()), rsa("/etc/ssh/ssh_host_rsa_key"), rsa("/x/own")],
        &BTreeSet::new(),
    );
    assert_eq!(plans, [made("ed25519", None, false), KeyPlan::Remove, made("rsa", None, false)]);
}

//! A private key file. Laws H1 and H2: what another reader takes for a key we never call broken (a broken one is replaced), and the public half is
//! the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scw_agent::host_keys::{PrivateKey, PublicKey};
use ssh_key::public::KeyData;

fuzz_target!(|data: &[u8]| {
    let ours = PrivateKey::look(data);
    if let PrivateKey::Whole(key) = &ours {
        let again = PublicKey::parse(&key.key_text()).expect("as we write it");
        assert!(again.is_same_key(key));
        let other = ssh_key::PublicKey::from_openssh(&key.key_text()).expect("a key to other readers, too");
        assert_eq!(other.fingerprint(ssh_key::HashAlg::Sha256).to_string(), key.fingerprint());
    }
    // The other reader steps over lengths that OpenSSH checks, so what counts is the key as it would write it.
    let Ok(other) = ssh_key::PrivateKey::from_openssh(data) else { return };
    let Ok(written) = other.to_openssh(ssh_key::LineEnding::LF) else { return };
    let ours = PrivateKey::look(written.as_bytes());
    let positive =
        |number: &ssh_key::Mpint| number.as_positive_bytes().is_some_and(|bytes| !bytes.is_empty());
    let is_key = match other.public_key().key_data() {
        KeyData::Ed25519(_) => true,
        KeyData::Rsa(key) => positive(&key.e) && positive(&key.n),
        _ => false,
    };
    if other.is_encrypted() {
        assert_eq!(ours, PrivateKey::Locked);
    } else if is_key {
        let PrivateKey::Whole(key) = ours else { panic!("a good key is called {ours:?}") };
        assert_eq!(other.fingerprint(ssh_key::HashAlg::Sha256).to_string(), key.fingerprint());
    }
});

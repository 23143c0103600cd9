//! A public key file. Invariant H3: another parser accepts each key that the agent accepts, with the same fingerprint. The published line has
//! four fields.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scw_agent::host_keys::{PublicKey, published_value};

fuzz_target!(|text: &str| {
    let Ok(key) = PublicKey::parse(text) else { return };
    let other = ssh_key::PublicKey::from_openssh(&key.key_text()).expect("a key for the other parser, too");
    assert_eq!(other.fingerprint(ssh_key::HashAlg::Sha256).to_string(), key.fingerprint());
    assert_eq!(other.algorithm().as_str(), key.algorithm);
    let again = PublicKey::parse(&format!("{} {}", key.key_text(), key.comment))
        .expect("the agent reads its own text");
    assert_eq!(again, key);
    let value = published_value([&key]).expect("a key");
    let fields: Vec<_> = value.as_str().split(' ').collect();
    let [bits, fingerprint, comment, kind] = fields[..] else { panic!("not four fields: {value:?}") };
    assert!(bits.parse::<usize>().is_ok_and(|bits| bits == key.bits) && !comment.is_empty());
    assert_eq!((fingerprint, kind), (&*key.fingerprint(), &*format!("({})", key.type_name)));
    assert!(value.as_str().bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
    assert!(fingerprint.parse::<ssh_key::Fingerprint>().is_ok());
    let sshfp = key.sshfp().expect("a type with a number");
    let [_, "2", digest] = sshfp.split(' ').collect::<Vec<_>>()[..] else { panic!("{sshfp}") };
    assert_eq!(digest.len(), 64);
});

//! A private key file. Invariants H1 and H3: a key is usable if and only if ssh-keygen reads it, both find the same public key, and rewriting
//! a key's text does not change the key.
//!
//! Since starting ssh-keygen is slow, it runs only on inputs that could be a key. It reads a file here; the agent passes the key in another
//! way.
#![no_main]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use libfuzzer_sys::fuzz_target;
use scw_agent::host_keys::{KeyContent, PrivateKey, PublicKey, private_key_content, reformat};
use scw_agent_fuzz::folder;

fuzz_target!(|data: &[u8]| {
    let parsed = PrivateKey::parse(data);
    if !data.windows(11).any(|window| window == b"-----BEGIN ") {
        return assert_eq!(parsed, PrivateKey::Unknown);
    }
    let read = by_ssh_keygen(data);
    match &parsed {
        PrivateKey::Good(key) => assert_eq!(read.as_ref(), Some(&key.key_text()), "parsed as good"),
        PrivateKey::Encrypted(_) => assert_eq!(read, None, "parsed as locked"),
        PrivateKey::Unknown => {}
    }
    let content = match private_key_content(data) {
        Ok(content) => content,
        // ssh-keygen reports an internal error for some damaged keys and if the machine has a fault. Such a key is kept and reported.
        Err(why) => return assert!(read.is_none() && why.to_string().contains("internal error"), "{why}"),
    };
    match (&read, &content) {
        (Some(text), KeyContent::Usable(key)) => assert_eq!(*text, key.key_text()),
        (Some(_), other) => panic!("ssh-keygen reads a key that is classified as {other:?}"),
        (None, KeyContent::Usable(_)) => {
            panic!("ssh-keygen does not read a key that is classified as usable")
        }
        (None, KeyContent::Damaged(key, text)) => {
            assert_eq!(by_ssh_keygen(text), Some(key.key_text()), "rewritten");
        }
        (None, _) => {}
    }
    if let (Some(before), Some(text)) = (&read, reformat(data)) {
        // ssh-keygen may have read another key of the file, or may read no key from a text that only looks like one.
        let after = by_ssh_keygen(&text);
        assert!(
            after.is_none()
                || after.as_ref() == Some(before)
                || data.windows(11).filter(|w| *w == b"-----BEGIN ").count() > 1
        );
    }
});

/// The public key without its comment, if ssh-keygen reads the private one.
fn by_ssh_keygen(data: &[u8]) -> Option<String> {
    let path = folder().join("key");
    fs::write(&path, data).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
    let mut command = Command::new("ssh-keygen");
    command.args(["-y", "-P", "", "-f"]).arg(&path).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().expect("ssh-keygen runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then(|| PublicKey::parse(&text).map_or(text.clone(), |key| key.key_text()))
}

//! A call of ssh to `scw-known-hosts`, and a published value. Invariant C1: a line is one line, for the looked-up name and the offered key
//! alone, and another parser finds the same key and the same fingerprint.
#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use libfuzzer_sys::fuzz_target;
use scw_known_hosts::published::Published;
use scw_known_hosts::search::wanted::Wanted;
use scw_known_hosts::ssh::call::Call;

fuzz_target!(|data: &[u8]| {
    // Lines: the seven arguments, then the value.
    let mut lines = data.splitn(8, |byte| *byte == b'\n');
    let arguments: Vec<_> = lines.by_ref().take(7).map(|line| OsString::from_vec(line.to_vec())).collect();
    let published = lines.next().and_then(Published::parse);
    if let Some(published) = &published {
        let list = published.list();
        assert!(
            !published.entries().is_empty()
                && list.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
        );
        let value = String::from_utf8_lossy(data);
        assert!(published.entries().iter().all(|entry| value.contains(&entry.fingerprint.to_string())));
    }
    let Ok(call) = Call::parse(&arguments) else { return };
    let _ = Wanted::of(&call.target);
    let Ok(key) = call.host_key() else { return };
    if let Ok(other) =
        ssh_key::Certificate::from_openssh(&format!("{} {}", arguments[5].to_string_lossy(), call.key))
    {
        let other = ssh_key::PublicKey::from(other.public_key().clone());
        assert_eq!(other.fingerprint(ssh_key::HashAlg::Sha256).to_string(), key.fingerprint().to_string());
    }
    let Some(line) = call.line(&key) else { return };
    let fields: Vec<_> = line.strip_suffix('\n').expect("a line").split(' ').collect();
    assert_eq!(fields, [&*call.lookup, key.kind(), &*key.base64()]);
    assert!(line[..line.len() - 1].bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
    if let Ok(other) = ssh_key::PublicKey::from_openssh(&fields[1..].join(" ")) {
        assert_eq!(other.fingerprint(ssh_key::HashAlg::Sha256).to_string(), key.fingerprint().to_string());
    }
});

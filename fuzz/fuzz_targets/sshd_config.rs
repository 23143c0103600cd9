//! sshd's configuration with what it includes, and what `sshd -T` prints. Law H3: whatever stands there, the reading ends soon, and it is the same
//! by both ways.
//!
//! What stands behind a line `=== NAME` is the file of that name beside `sshd_config`.
#![no_main]

use std::fs;

use libfuzzer_sys::{Corpus, fuzz_target};
use scw_agent::host_keys::{KeyType, Served, Source, SshdConfig};
use scw_agent_fuzz::{files, folder};

fuzz_target!(|data: &[u8]| -> Corpus {
    // Only the files of the folder are of this input.
    let includes = |line: &[u8]| line.to_ascii_lowercase().windows(7).any(|word| word == b"include");
    if data.split(|byte| *byte == b'\n').any(|line| includes(line) && line.contains(&b'/')) {
        return Corpus::Reject;
    }
    let folder = folder();
    for (name, text) in files(data, "sshd_config") {
        fs::write(folder.join(name), text).expect("written");
    }
    let config = SshdConfig::read(&folder.join("sshd_config")).expect("readable").expect("there");
    assert!(config.host_keys.iter().all(|path| path.is_absolute()));
    let mut printed = String::new();
    for path in &config.host_keys {
        printed += &format!("hostkey {}\n", path.display());
    }
    config.algorithms.iter().for_each(|list| printed += &format!("hostkeyalgorithms {list}\n"));
    config.required_rsa.iter().for_each(|size| printed += &format!("requiredrsasize {size}\n"));
    // What is printed has no quotes: only values of one plain word come back.
    let plain = |line: &str| line.split_once(' ').is_some_and(|(_, value)| is_plain(value));
    if printed.lines().all(plain) {
        assert_eq!(SshdConfig::parse(&printed), config, "{printed}");
    }
    let served = Served::configured(config.clone(), Source::Sshd, folder);
    for types in served.wanted(folder, &KeyType::ALL[1..]).values() {
        assert!(!types.is_empty() && types.is_sorted());
    }
    // A key that is to be made is one that sshd is told of.
    let wanted = served.wanted(folder, &KeyType::ALL);
    for (folder, key_type) in wanted.iter().flat_map(|(folder, types)| types.iter().map(move |t| (folder, t)))
    {
        let named = served.keys.as_ref().expect("configured");
        assert!(named.contains(&key_type.private_path(folder)), "{folder:?} {key_type}");
    }
    Corpus::Keep
});

fn is_plain(value: &str) -> bool {
    !value.is_empty()
        && value.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'='))
}

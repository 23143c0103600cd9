//! sshd's configuration with its included files, and the output of `sshd -T`. Invariant H3: reading any content ends soon, and both sources
//! give the same result.
//!
//! The lines after a line `=== NAME` are the file of that name beside `sshd_config`.
#![no_main]

use std::fs;

use libfuzzer_sys::{Corpus, fuzz_target};
use scw_agent::host_keys::{ConfigSource, EffectiveHostKeys, SshdConfig};
use scw_agent_fuzz::{files, folder};

fuzz_target!(|data: &[u8]| -> Corpus {
    // Reject includes of other folders, since only files in this folder belong to the input.
    let includes = |line: &[u8]| line.to_ascii_lowercase().windows(7).any(|word| word == b"include");
    if data.split(|byte| *byte == b'\n').any(|line| includes(line) && line.contains(&b'/')) {
        return Corpus::Reject;
    }
    let folder = folder();
    for (name, text) in files(data, "sshd_config") {
        fs::write(folder.join(name), text).expect("written");
    }
    let read = SshdConfig::read(&folder.join("sshd_config"), &[]).expect("readable");
    let (config, texts) = read.expect("there");
    assert!(config.host_keys.iter().all(|path| path.is_absolute()) && texts.len() <= 1024);
    let mut printed = String::new();
    for path in &config.host_keys {
        printed += &format!("hostkey {}\n", path.display());
    }
    if config.has_host_key_lines && config.host_keys.is_empty() {
        printed += "HostKey (null)\n";
    }
    config.algorithms.iter().for_each(|list| printed += &format!("hostkeyalgorithms {list}\n"));
    config.required_rsa.iter().for_each(|size| printed += &format!("RequiredRSASize {size}\n"));
    config.agent.iter().for_each(|socket| printed += &format!("HostKeyAgent {socket}\n"));
    // A value with a line break cannot be printed. The parser also takes a carriage return at the end as a line break.
    if printed.lines().count() == printed.matches('\n').count()
        && !printed.contains('\r')
        && is_plain(&config)
    {
        assert_eq!(SshdConfig::parse_printed(&printed), config, "{printed}");
    }
    let effective = EffectiveHostKeys::configured(config.clone(), ConfigSource::Sshd, folder);
    // Each file is listed once, and only files in HostKey lines.
    for (number, path) in effective.files.iter().enumerate() {
        assert!(!effective.files[..number].contains(path));
        assert!(!config.has_host_key_lines || config.host_keys.contains(path));
    }
    Corpus::Keep
});

/// Whether every value can be read back unchanged from the printed form. A path may be empty or look like a path in root's home.
fn is_plain(config: &SshdConfig) -> bool {
    let words = config.algorithms.iter().chain(&config.agent).map(String::as_str);
    let paths = config.host_keys.iter().filter_map(|path| path.to_str());
    words.chain(paths).all(|value| !value.is_empty() && !value.contains("~/"))
}

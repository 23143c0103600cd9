//! The user's files that `scw-known-hosts` reads and changes: Scaleway's configuration, the ssh configuration, known_hosts. Other lines stay as
//! they are, a second change changes nothing, and an error has no value of the file (invariant S3).
#![no_main]

use libfuzzer_sys::fuzz_target;
use scw_known_hosts::credentials::config_file::active_profile;
use scw_known_hosts::known_hosts::block::{Keys, keys_of, stale_lines, with_keys};
use scw_known_hosts::ssh_config::include::{with_include, without_include};
use scw_known_hosts::ssh_config::own_file::Choices;

fuzz_target!(|data: &[u8]| {
    let id = "11111111-2222-4333-8444-555555555555";
    let keys = Keys {
        id: id.to_owned(),
        names: vec!["web".to_owned(), "[web]:2222".to_owned()],
        keys: vec![("ssh-ed25519".to_owned(), "AAAA".to_owned())],
    };
    let _ = (stale_lines(data, &keys), keys_of(data, id));
    if let Ok(new) = with_keys(data, [&keys]) {
        assert_eq!(with_keys(&new, [&keys]).as_ref(), Ok(&new));
        assert_eq!(keys_of(&new, id), keys.keys);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    match (with_include(text), without_include(text)) {
        (Ok(with), Ok(without)) => {
            assert_eq!(with_include(&with).as_ref(), Ok(&with));
            assert!(with.starts_with(&without));
        }
        (with, without) => assert!(with.is_err() && without.is_err()),
    }
    let choices = Choices::recorded(text);
    let content = choices.content("/usr/bin/scw-known-hosts").expect("a good path");
    assert_eq!(Choices::recorded(&content), choices);
    for wanted in [None, Some("work")] {
        if let Err(error) = active_profile(text, wanted) {
            assert!(!error.to_string().contains("hunter2"));
        }
    }
});

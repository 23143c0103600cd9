//! Two consumers of the published fingerprints, written only from the API's description. A test must not take a value as published that
//! one of them cannot read. They panic where the real ones throw an exception.

use std::collections::BTreeSet;

/// Reads the value as a strict consumer does: four fields per line, nothing else.
#[track_caller]
pub fn read_strictly(value: &str) -> BTreeSet<String> {
    let field = |line: &str| {
        let fields: Vec<_> = line.split(' ').collect();
        assert_eq!(fields.len(), 4, "{line:?}");
        let (bits, fingerprint, key_type) = (fields[0], fields[1], fields[3]);
        assert!(
            bits.parse::<u32>().is_ok() && key_type.starts_with('(') && key_type.ends_with(')'),
            "{line:?}"
        );
        assert_eq!((fingerprint.len(), &fingerprint[..7]), (50, "SHA256:"), "{line:?}");
        fingerprint.to_owned()
    };
    value.split('\n').map(field).collect()
}

/// Reads the value as a consumer does that matches each line with `^(?:\d+\s+)?(SHA256:[^\s]+).*\(([^)]+)\)\s*$`, or throws.
#[track_caller]
pub fn read_by_pattern(value: &str) -> BTreeSet<String> {
    let line = |line: &str| {
        let rest = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        let (fingerprint, rest) = rest.split_once(char::is_whitespace).expect("more than one field");
        assert!(fingerprint.starts_with("SHA256:"), "{line:?}");
        let inside = rest
            .trim_end()
            .strip_suffix(')')
            .and_then(|rest| rest.rsplit_once('('))
            .expect("a type in brackets")
            .1;
        assert!(!inside.is_empty() && !inside.contains(')'), "{line:?}");
        fingerprint.to_owned()
    };
    value.lines().filter(|text| !text.trim().is_empty()).map(line).collect()
}

//! The value of the key `cloud-init`: scripts and MIME messages, compressed or not. Invariant S5 and the limits of `scripts::cloud_init::unpack`: memory and
//! output are limited, each part has a unique name, and a value of a kind that cloud-init does not know is a failure.
//!
//! In the first byte, bit 7 compresses the value. If bits 5 and 6 are set, bits 0 to 4 are the number of times that its last line is doubled.
//! So a few bytes make values that mutations would not find, and most mutations stay small and fast.
#![no_main]

use std::collections::BTreeSet;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;
use scw_agent::metadata::UserDataKey;
use scw_agent::scripts::{ItemContent, Preview, SetupSettings, unpack};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// More than three times the limit for unpacked values: one is compressed, one unpacked, and one split into parts.
const MOST_MEMORY: usize = 64 << 20;
const MOST_UNPACKED: usize = 16 << 20;

fuzz_target!(|data: &[u8]| {
    let Some((choice, text)) = data.split_first() else { return };
    let mut value = text.to_vec();
    let last = text.trim_ascii_end().iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line = &text[last..];
    let doublings = if choice & 0x60 == 0x60 { choice & 0x1f } else { 0 };
    let times = (1_usize << doublings).min((MOST_UNPACKED + 4096) / line.len().max(1));
    value.extend(line.repeat(times.saturating_sub(1)));
    if choice & 0x80 != 0 {
        let packed = zipped(&value);
        if !value.starts_with(b"\x1f\x8b") && value.len() <= MOST_UNPACKED {
            assert_eq!(unpack(&packed).len(), unpack(&value).len(), "a compressed value has other parts");
        }
        value = packed;
    }
    // The service stores no larger value.
    if value.len() > 1 << 20 {
        return;
    }
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let items = unpack(&value);
    let taken = MEMORY.peak_usage() - before;
    assert!(taken <= MOST_MEMORY, "{taken} bytes of memory for a value of {}", value.len());
    let mut names = BTreeSet::new();
    let mut bytes = 0;
    for item in &items {
        if let Some(name) = &item.name {
            UserDataKey::new(&format!("cloud-init.{name}")).expect("a name for records");
            assert!(!name.contains('/'), "{name}");
        }
        assert!(names.insert(item.name.clone()), "two parts have the name {:?}", item.name);
        if let ItemContent::Script(_, body) = &item.content {
            bytes += body.len();
        }
    }
    assert!(bytes <= MOST_UNPACKED && items.len() <= 100);
    // For a value that is not compressed, check here, too: only white space and a message can have no parts, and a kind that only cloud-init
    // knows is named at the beginning.
    if !value.starts_with(b"\x1f\x8b") {
        let lower = String::from_utf8_lossy(&value).to_ascii_lowercase();
        assert!(!items.is_empty() || value.trim_ascii().is_empty() || lower.contains("mime-version:"));
        for item in items.iter().filter(|item| item.name.is_none()) {
            match item.content {
                ItemContent::NeedsCloudInit(what) => {
                    assert!(lower.find(what).is_some_and(|at| lower[..at].chars().all(is_space)), "{what}");
                }
                ItemContent::Script(_, _) => assert!(value.starts_with(b"#!")),
                ItemContent::Unusable(_) => assert!(!value.starts_with(b"#!")),
            }
        }
    }
    let preview = Preview::of("cloud-init", &value, &SetupSettings::default());
    assert_eq!(preview.parts.len(), items.len(), "`setup validate` shows another number of parts");
});

/// Whether Python, the language of cloud-init, treats the character as white space.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("finished")
}

//! Unpacks gzip (RFC 1952), up to a limit. Pure.

use std::io::Read;

use flate2::bufread::MultiGzDecoder;

/// Why gzip data cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GzipError {
    /// The data are damaged or incomplete.
    Damaged,
    /// The unpacked data are larger than the limit.
    TooLarge,
}

/// The unpacked data of all members of a gzip file, at most `max_len` bytes.
pub(crate) fn unpacked(packed: &[u8], max_len: usize) -> Result<Vec<u8>, GzipError> {
    let limit = u64::try_from(max_len).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    MultiGzDecoder::new(packed).take(limit).read_to_end(&mut bytes).map_err(|_| GzipError::Damaged)?;
    if bytes.len() > max_len { Err(GzipError::TooLarge) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, GzBuilder};

    use super::*;

    fn packed(builder: GzBuilder, bytes: &[u8]) -> Vec<u8> {
        let mut encoder = builder.write(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("written");
        encoder.finish().expect("finished")
    }

    #[test]
    fn every_gzip_header_is_read() {
        let noise: Vec<u8> =
            (0..200_000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        for bytes in [&b""[..], b"#!/bin/sh\n", &noise, &vec![7; 1 << 20]] {
            for builder in
                [GzBuilder::new(), GzBuilder::new().filename("a").comment("b").extra([1, 2, 3]).mtime(1)]
            {
                let packed = packed(builder, bytes);
                assert_eq!(unpacked(&packed, bytes.len()).as_deref(), Ok(bytes), "exactly the limit");
                let twice = [&packed[..], &packed].concat();
                assert_eq!(unpacked(&twice, 1 << 22), Ok([bytes, bytes].concat()), "two members");
                if let Some(less) = bytes.len().checked_sub(1) {
                    assert_eq!(unpacked(&packed, less), Err(GzipError::TooLarge));
                    assert_eq!(unpacked(&twice, bytes.len() + less), Err(GzipError::TooLarge));
                }
            }
        }
    }

    #[test]
    fn s5_many_small_members_are_unpacked() {
        let members =
            [packed(GzBuilder::new(), b"").repeat(5000), packed(GzBuilder::new(), &vec![7; 1 << 20])]
                .concat();
        assert_eq!(unpacked(&members, 1 << 20).map(|bytes| bytes.len()), Ok(1 << 20));
    }

    #[test]
    fn truncated_or_damaged_data_are_an_error() {
        let header = || GzBuilder::new().filename("a").comment("b").extra([1, 2, 3]);
        let complete = packed(header(), b"#!/bin/sh\necho hello hello hello\n");
        for length in 0..complete.len() {
            assert_eq!(unpacked(&complete[..length], 4096), Err(GzipError::Damaged), "{length} bytes");
        }
        assert_eq!(
            unpacked(&[&complete[..], b"x"].concat(), 4096),
            Err(GzipError::Damaged),
            "a byte follows the data"
        );
        let good = unpacked(&complete, 4096);
        for (at, bit) in (0..complete.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut damaged = complete.clone();
            damaged[at] ^= 1 << bit;
            // A damaged name or time is not detected. The unpacked data must be correct.
            let out = unpacked(&damaged, 4096);
            assert!(out.is_err() || out == good, "byte {at}, bit {bit}");
        }
    }
}

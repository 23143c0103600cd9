//! gzip (RFC 1952), unpacked up to a bound: its frame is read here, what is in it by `miniz_oxide`. Pure.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF as IN_ONE_PIECE;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use crate::scripts::cloud_init::unpack::UnpackError;

/// How every gzip file begins.
pub(crate) const MAGIC: &[u8] = b"\x1f\x8b";
const DEFLATE: u8 = 8;
/// What follows the fixed part of a header, by the bits of its flags.
const HEADER_CHECKSUM: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;
/// Room for the first bytes; it grows to the double when it is full. A member that adds little does not make it grow: a value can hold many.
const FIRST: usize = 64 * 1024;

/// Unpacks all members of a file, of which there is at least one, to at most `largest` bytes.
pub(crate) fn unzipped(mut packed: &[u8], largest: usize) -> Result<Vec<u8>, UnpackError> {
    let (mut out, mut end) = (Vec::new(), 0);
    loop {
        packed = member(packed, &mut out, &mut end, largest)?;
        if packed.is_empty() {
            out.truncate(end);
            return Ok(out);
        }
    }
}

/// Unpacks the member at the beginning to `end`, which it moves; what follows it.
fn member<'a>(
    packed: &'a [u8],
    out: &mut Vec<u8>,
    end: &mut usize,
    largest: usize,
) -> Result<&'a [u8], UnpackError> {
    let packed = behind_header(packed).ok_or(UnpackError::Gzip)?;
    let begin = *end;
    let packed = inflate(packed, out, end, largest)?;
    let (checksum, packed) = packed.split_first_chunk().ok_or(UnpackError::Gzip)?;
    let (length, packed) = packed.split_first_chunk().ok_or(UnpackError::Gzip)?;
    let unpacked = &out[begin..*end];
    // The length counts modulo 2³², and nothing is that long here.
    let good = u32::from_le_bytes(*checksum) == crc(unpacked)
        && u32::try_from(unpacked.len()) == Ok(u32::from_le_bytes(*length));
    if good { Ok(packed) } else { Err(UnpackError::Gzip) }
}

fn behind_header(packed: &[u8]) -> Option<&[u8]> {
    // The time, and two bytes of the system that packed it, mean nothing here.
    let (&[method, flags, ..], mut rest) = packed.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
    if method != DEFLATE || flags & RESERVED != 0 {
        return None;
    }
    if flags & EXTRA != 0 {
        let (length, extra) = rest.split_first_chunk()?;
        rest = extra.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            rest = &rest[rest.iter().position(|byte| *byte == 0)? + 1..];
        }
    }
    // The checksum at the end counts; this one is of the header alone.
    if flags & HEADER_CHECKSUM != 0 { rest.get(2..) } else { Some(rest) }
}

fn inflate<'a>(
    mut packed: &'a [u8],
    out: &mut Vec<u8>,
    end: &mut usize,
    largest: usize,
) -> Result<&'a [u8], UnpackError> {
    let begin = *end;
    let mut state = Box::new(DecompressorOxide::new());
    loop {
        if *end > largest {
            return Err(UnpackError::TooLarge);
        }
        if *end == out.len() {
            // One byte more than may be: if it is written, that was too much.
            out.resize((*end * 2).max(FIRST).min(largest + 1), 0);
        }
        let (status, read, written) =
            decompress(&mut state, packed, &mut out[begin..], *end - begin, IN_ONE_PIECE);
        packed = &packed[read..];
        *end += written;
        match status {
            TINFLStatus::HasMoreOutput => {}
            TINFLStatus::Done if *end <= largest => return Ok(packed),
            TINFLStatus::Done => return Err(UnpackError::TooLarge),
            _ => return Err(UnpackError::Gzip),
        }
    }
}

/// The checksum of gzip, bit by bit: what is packed here is small, and a table of it would be larger than this whole room.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, GzBuilder};

    use super::*;

    fn zipped(builder: GzBuilder, bytes: &[u8]) -> Vec<u8> {
        let mut encoder = builder.write(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("written");
        encoder.finish().expect("finished")
    }

    #[test]
    fn what_others_packed_comes_out_the_same_whatever_its_header_holds() {
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
        let noise: Vec<u8> =
            (0..200_000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        for bytes in [&b""[..], b"#!/bin/sh\n", &noise, &vec![7; 1 << 20]] {
            for builder in
                [GzBuilder::new(), GzBuilder::new().filename("a").comment("b").extra([1, 2, 3]).mtime(1)]
            {
                let packed = zipped(builder, bytes);
                assert_eq!(unzipped(&packed, bytes.len()).as_deref(), Ok(bytes), "exactly as much as may be");
                let twice = [&packed[..], &packed].concat();
                assert_eq!(unzipped(&twice, 1 << 22), Ok([bytes, bytes].concat()), "two members");
                if let Some(less) = bytes.len().checked_sub(1) {
                    assert_eq!(unzipped(&packed, less), Err(UnpackError::TooLarge));
                    assert_eq!(unzipped(&twice, bytes.len() + less), Err(UnpackError::TooLarge));
                }
            }
        }
    }

    #[test]
    fn s5_small_member_costs_no_more_behind_a_large_one() {
        let empty = zipped(GzBuilder::new(), b"");
        let (mut out, mut end) = (vec![7; 100_000], 70_000);
        assert_eq!(member(&empty, &mut out, &mut end, 1 << 24), Ok(&[][..]));
        assert_eq!((out.len(), end), (100_000, 70_000), "no room is made");
        assert!(out.iter().all(|byte| *byte == 7), "nothing is written");
    }

    #[test]
    fn what_is_cut_off_or_damaged_at_any_place_is_no_gzip() {
        let header = || GzBuilder::new().filename("a").comment("b").extra([1, 2, 3]);
        let whole = zipped(header(), b"#!/bin/sh\necho hello hello hello\n");
        for length in 0..whole.len() {
            assert_eq!(unzipped(&whole[..length], 4096), Err(UnpackError::Gzip), "{length} bytes");
        }
        assert_eq!(unzipped(&[&whole[..], b"x"].concat(), 4096), Err(UnpackError::Gzip), "something follows");
        let good = unzipped(&whole, 4096);
        for (at, bit) in (0..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            // A name, or a time, may be another one; what comes out may not.
            let out = unzipped(&damaged, 4096);
            assert!(out.is_err() || out == good, "byte {at}, bit {bit}");
        }
    }
}

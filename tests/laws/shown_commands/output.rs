//! Compares the output that a document shows with the output of the command. In a document, a line `…` stands for any number of lines, and
//! `…` in a line for any text. Parts that differ from run to run are equal: fingerprints, keys, digests, times, durations, comments of keys.

use super::markdown::ShownCommand;

/// What is wrong with a command that ended with this exit code and printed this; `None` if it is as shown. A shown command succeeds.
pub(crate) fn difference(command: &ShownCommand, code: Option<i32>, printed: &str) -> Option<String> {
    let ShownCommand { text, output, .. } = command;
    if code != Some(0) {
        return Some(format!("`{text}` ends with {code:?}:\n{printed}"));
    }
    let shown: Vec<_> = output.as_ref()?.iter().map(|line| &**line).collect();
    let lines: Vec<_> = printed.lines().collect();
    (!fits(&shown, &lines)).then(|| format!("`{text}` prints:\n{printed}and not:\n{}", shown.join("\n")))
}

/// Whether the lines that are shown fit the lines that were printed.
fn fits(shown: &[&str], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first.trim() == "…" => {
            (0..=printed.len()).any(|skipped| fits(rest, &printed[skipped..]))
        }
        Some((first, rest)) => printed.split_first().is_some_and(|(line, others)| {
            let is_equal = line_fits(first, line) || line_fits(&normalised(first), &normalised(line));
            is_equal && fits(rest, others)
        }),
    }
}

/// Whether a line fits a pattern with `…`.
fn line_fits(pattern: &str, line: &str) -> bool {
    let Some((before, after)) = pattern.split_once('…') else { return pattern == line };
    let Some(rest) = line.strip_prefix(before) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| line_fits(after, &rest[at..]))
}

/// The line with a fixed word in place of each part that differs from run to run.
fn normalised(line: &str) -> String {
    let is_part = |sign: char| sign.is_ascii_alphanumeric() || "+/=:._@-".contains(sign);
    let mut text = String::new();
    let mut rest = line.trim_end();
    while let Some(start) = rest.find(is_part) {
        let length = rest[start..].find(|sign| !is_part(sign)).unwrap_or(rest.len() - start);
        text += &rest[..start];
        text += fixed(&rest[start..start + length]);
        rest = &rest[start + length..];
    }
    text + rest
}

/// The fixed word for a part that differs from run to run; other parts stay.
fn fixed(part: &str) -> &str {
    let digits = part.trim_start_matches(|sign: char| sign.is_ascii_digit() || sign == '.');
    let has_number = digits.len() < part.len();
    let is_hex = part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bytes = part.as_bytes();
    match part {
        _ if part.starts_with("SHA256:") => "FINGERPRINT",
        _ if part.starts_with("AAAA") && part.len() > 40 => "KEY",
        _ if part.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && part.ends_with('Z') => "TIME",
        _ if part.len() >= 40 && is_hex => "DIGEST",
        _ if part.starts_with("root@") => "COMMENT",
        _ if has_number && matches!(digits, "us" | "ms" | "s" | "m") => "DURATION",
        _ => part,
    }
}

#[test]
fn shown_output_fits_only_what_it_means() {
    let printed = [
        "256 SHA256:abc root@vm (ED25519)",
        "2026-11-29T13:25:15.300Z  exit code 0 after 18ms (attempt 1)",
        "hello",
    ];
    let shown = [
        "256 SHA256:xyz root@web-1 (ED25519)",
        "2026-01-01T00:00:00.000Z  exit code 0 after 3s (attempt 1)",
        "hello",
    ];
    assert!(fits(&shown, &printed));
    assert!(
        fits(&["…", "hello"], &printed)
            && fits(&["256 SHA…c root@vm (ED25519)", "…"], &printed)
            && fits(&["…"], &[])
    );
    assert!(
        !fits(&shown[..2], &printed) && !fits(&["hello", "…"], &printed) && !fits(&["…", "hell"], &printed)
    );
    assert!(!fits(&[shown[0], "2026-01-01T00:00:00.000Z  exit code 1 after 3s (attempt 1)", "…"], &printed));
    assert!(!fits(&["521 … (ED25519)", "…"], &printed));
}

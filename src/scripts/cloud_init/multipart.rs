//! Splits MIME messages into their parts: the part of RFC 2045 to 2047 that the users of cloud-init need for scripts. Pure.
//! The depth and the number of parts have limits.
//!
//! The parser is strict where a guess could run half a script. If the last delimiter is missing, the message is incomplete
//! and is refused.

use base64ct::{Base64, Encoding};
use thiserror::Error;

/// The highest depth of messages within messages.
const MAX_DEPTH: usize = 4;
/// The highest number of parts in a message.
const MAX_PARTS: usize = 100;
/// The maximum size of the headers of a message or part, in bytes. A value of a few kilobytes can unpack to millions of lines.
const MAX_HEADERS_BYTES: usize = 64 * 1024;
/// cloud-init searches the line `MIME-Version:` in this number of bytes at the beginning of a value.
const MIME_VERSION_WITHIN_BYTES: usize = 4096;

/// One part that is not a message itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MimePart {
    /// The content type in lower case, without its parameters. `text/plain`, if the part has no `Content-Type`.
    pub(crate) content_type: String,
    /// The file name in its headers.
    pub(crate) name: Option<String>,
    /// Its bytes, decoded from their transfer encoding.
    pub(crate) body: Result<Vec<u8>, MimeError>,
}

/// What is wrong with a message, or with one part of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MimeError {
    /// A multipart without a `boundary=`.
    #[error("the MIME message is a multipart without `boundary=` (`boundary*=` is not supported)")]
    NoBoundary,
    /// A multipart without an opening delimiter.
    #[error("the MIME message has no opening delimiter (a line of `--` and its boundary)")]
    NoOpening,
    /// A multipart without a closing delimiter.
    #[error("the MIME message was cut off: its closing delimiter is missing")]
    CutOff,
    /// Text before the first part of a multipart or after its last part, which may be meant to run.
    #[error("the MIME message has a script, a part or a message outside its delimiters: put it between them")]
    Outside,
    /// Messages within messages, deeper than the limit.
    #[error("the MIME message contains messages more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// More parts than the limit.
    #[error("the MIME message has more than {MAX_PARTS} parts")]
    TooMany,
    /// Longer headers than the limit.
    #[error("the MIME message has headers of more than {} KiB", MAX_HEADERS_BYTES >> 10)]
    LongHeaders,
    /// An unknown `Content-Transfer-Encoding` of a part.
    #[error(
        "the part's Content-Transfer-Encoding is unknown; use 7bit, 8bit, binary, base64 or quoted-printable"
    )]
    Encoding,
    /// A part with the encoding base64, and bytes that are not base64.
    #[error("the part is declared as base64, but it is not")]
    Base64,
    /// A part with the encoding quoted-printable, and bytes that are not quoted-printable.
    #[error("the part is declared as quoted-printable, but it is not")]
    QuotedPrintable,
}

/// Whether a value is a MIME message: it has the line `MIME-Version:` in its headers, near its beginning.
pub(crate) fn is_message(value: &[u8]) -> bool {
    let headers = split_headers(&value[..value.len().min(MIME_VERSION_WITHIN_BYTES)]);
    headers.is_ok_and(|(headers, _)| headers.iter().any(|(name, _)| name == "mime-version"))
}

/// The parts of a message, in their order.
///
/// # Errors
/// The message cannot be split. An error in one part is in the field `body` of that part.
pub(crate) fn split(message: &[u8]) -> Result<Vec<MimePart>, MimeError> {
    let mut parts = Vec::new();
    add_parts(message, MAX_DEPTH, &mut parts)?;
    Ok(parts)
}

/// Adds the parts of a message, or this part. `depth`: how deep the messages in it may be.
fn add_parts(entity: &[u8], depth: usize, parts: &mut Vec<MimePart>) -> Result<(), MimeError> {
    let (headers, body) = split_headers(entity)?;
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value);
    let (content_type, parameters) = value_and_parameters(header("content-type").unwrap_or("text/plain"));
    if content_type.starts_with("multipart/") {
        let boundary = parameter(&parameters, "boundary").ok_or(MimeError::NoBoundary)?;
        let depth = depth.checked_sub(1).ok_or(MimeError::TooDeep)?;
        return split_body(body, boundary)?.into_iter().try_for_each(|part| add_parts(part, depth, parts));
    }
    if parts.len() == MAX_PARTS {
        return Err(MimeError::TooMany);
    }
    let disposition = value_and_parameters(header("content-disposition").unwrap_or_default()).1;
    let name = parameter(&disposition, "filename").or(parameter(&parameters, "name")).map(str::to_owned);
    let body = decode(body, header("content-transfer-encoding").unwrap_or("7bit"));
    parts.push(MimePart { content_type, name, body });
    Ok(())
}

/// The header fields, and the body after the empty line. The names are in lower case; folded lines are joined.
#[expect(clippy::type_complexity, reason = "fields, and the rest")]
fn split_headers(entity: &[u8]) -> Result<(Vec<(String, String)>, &[u8]), MimeError> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut offset = 0;
    for line in entity.split_inclusive(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(without_line_end(line));
        if text.is_empty() {
            offset += line.len();
            break;
        }
        match (text.split_once(':'), fields.last_mut()) {
            _ if offset == 0 && text.starts_with("From ") => {}
            (_, Some((_, last))) if text.starts_with([' ', '\t']) => last.push_str(&text),
            (Some((name, value)), _) if is_field_name(name) => {
                fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            // Not a header: the body begins here, as in a part without headers.
            _ => break,
        }
        offset += line.len();
        if offset > MAX_HEADERS_BYTES {
            return Err(MimeError::LongHeaders);
        }
    }
    Ok((fields, &entity[offset..]))
}

fn is_field_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The value and the parameters of a header field such as `text/x; a=b; c="d"`.
fn value_and_parameters(field: &str) -> (String, Vec<(String, String)>) {
    let mut pieces = split_at_semicolons(field).into_iter();
    let value = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
    let parameters = pieces.filter_map(|piece| {
        let (name, value) = piece.split_once('=')?;
        Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
    });
    (value, parameters.collect())
}

/// Splits at the semicolons outside quotes, and removes the quotes.
fn split_at_semicolons(field: &str) -> Vec<String> {
    let (mut pieces, mut quoted) = (vec![String::new()], false);
    let mut characters = field.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => quoted = !quoted,
            ';' if !quoted => pieces.push(String::new()),
            _ => {
                let c = if quoted && c == '\\' { characters.next() } else { Some(c) };
                pieces.last_mut().into_iter().for_each(|piece| piece.extend(c));
            }
        }
    }
    pieces
}

fn parameter<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let parameter = parameters.iter().find(|(known, _)| known == name);
    parameter.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
}

/// The parts between the delimiters of a multipart's body. Text outside the delimiters is ignored (RFC 2046), except if it may
/// be meant to run: that is an error.
fn split_body<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<&'a [u8]>, MimeError> {
    let (mut parts, mut start, mut offset) = (Vec::new(), None, 0);
    let (mut is_closed, mut has_text_outside) = (false, false);
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let rest = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary.as_bytes()));
        match rest.map(<[u8]>::trim_ascii) {
            Some(rest @ (b"" | b"--")) if !is_closed => {
                // The line end before a delimiter belongs to the delimiter.
                parts.extend(start.map(|start| without_line_end(&body[start..offset])));
                if parts.len() > MAX_PARTS {
                    return Err(MimeError::TooMany);
                }
                is_closed = rest == b"--";
                start = (!is_closed).then_some(offset + line.len());
            }
            rest => has_text_outside |= start.is_none() && (rest == Some(b"") || is_first_line(line)),
        }
        offset += line.len();
    }
    match (start, is_closed) {
        (None, _) if parts.is_empty() => Err(MimeError::NoOpening),
        (_, false) => Err(MimeError::CutOff),
        _ if has_text_outside => Err(MimeError::Outside),
        _ => Ok(parts),
    }
}

/// Whether a script, a part or a message may begin with this line.
fn is_first_line(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    let begins =
        |with: &&str| line.get(..with.len()).is_some_and(|b| b.eq_ignore_ascii_case(with.as_bytes()));
    ["#!", "MIME-Version:", "Content-Type:"].iter().any(begins)
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// A part's body, decoded from its transfer encoding.
fn decode(body: &[u8], encoding: &str) -> Result<Vec<u8>, MimeError> {
    match &*encoding.to_ascii_lowercase() {
        "7bit" | "8bit" | "binary" => Ok(body.to_vec()),
        "base64" => {
            let text: String =
                body.iter().filter(|b| !b.is_ascii_whitespace()).map(|b| char::from(*b)).collect();
            Base64::decode_vec(&text).map_err(|_| MimeError::Base64)
        }
        "quoted-printable" => decode_quoted_printable(body),
        _ => Err(MimeError::Encoding),
    }
}

fn decode_quoted_printable(body: &[u8]) -> Result<Vec<u8>, MimeError> {
    let mut decoded = Vec::with_capacity(body.len());
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let text = line.trim_ascii_end();
        let end = &line[without_line_end(line).len()..];
        // White space at the end of a line is not part of the text. A line that ends with `=` continues in the next line.
        let (text, end) = text.strip_suffix(b"=").map_or((text, end), |text| (text, b""));
        let mut pieces = text.split(|byte| *byte == b'=');
        decoded.extend_from_slice(pieces.next().unwrap_or_default());
        for piece in pieces {
            let (code, rest) = piece.split_at_checked(2).ok_or(MimeError::QuotedPrintable)?;
            let code = std::str::from_utf8(code).ok().and_then(|code| u8::from_str_radix(code, 16).ok());
            decoded.push(code.ok_or(MimeError::QuotedPrintable)?);
            decoded.extend_from_slice(rest);
        }
        decoded.extend_from_slice(end);
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(parts: &str) -> String {
        format!(
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"=x y\"\n\n--=x y\n{parts}\n--=x y--\n"
        )
    }

    fn bodies(message: &str) -> Vec<(String, Option<String>, String)> {
        let text = |body: Result<Vec<u8>, _>| String::from_utf8(body.expect("decoded")).expect("UTF-8");
        let parts = split(message.as_bytes()).expect(message).into_iter();
        parts.map(|part| (part.content_type, part.name, text(part.body))).collect()
    }

    #[test]
    fn message_is_recognized_by_its_headers() {
        for (value, expected) in [
            (&*message(""), true),
            (
                "From nobody Sat Nov 11 00:00:00 2026\nContent-Type: multipart/mixed;\n boundary=x\nmime-version: 1.0\n\n",
                true,
            ),
            ("#!/bin/sh\nMIME-Version: 1.0\n", false),
            ("Content-Type: text/plain\n\nMIME-Version: 1.0\n", false),
            ("#cloud-config\n", false),
            ("", false),
        ] {
            assert_eq!(is_message(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn parts_have_their_order_type_name_and_bytes() {
        let parts = "Content-Type: text/x-shellscript; charset=\"us-ascii\"\nContent-Disposition: attachment;\n filename=\"a;\\\"b.sh\"\n\n#!/bin/sh\necho --=x\n\n--=x y \nContent-Type: TEXT/Cloud-Config; name=c.yaml\n\n#cloud-config\n--=x y\n\nno headers: none\n--=x y\n#!/bin/sh";
        let part = |kind: &str, name: Option<&str>, body: &str| {
            (kind.to_owned(), name.map(str::to_owned), body.to_owned())
        };
        let expected = vec![
            part("text/x-shellscript", Some("a;\"b.sh"), "#!/bin/sh\necho --=x\n"),
            part("text/cloud-config", Some("c.yaml"), "#cloud-config"),
            part("text/plain", None, "no headers: none"),
            part("text/plain", None, "#!/bin/sh"),
        ];
        assert_eq!(bodies(&message(parts)), expected);
        let crlf = message("Content-Type: text/x-shellscript\n\nx").replace('\n', "\r\n");
        assert_eq!(bodies(&crlf), [part("text/x-shellscript", None, "x")]);
    }

    #[test]
    fn each_transfer_encoding_is_decoded() {
        for (encoding, packed, body) in [
            ("7bit", "a=b", Ok("a=b")),
            ("BASE64", "IyEvYmlu\nL3NoCg==", Ok("#!/bin/sh\n")),
            ("base64", "a", Err(MimeError::Base64)),
            ("quoted-printable", "a=3Db=\nc  \n=C3=A9\n", Ok("a=bc\né\n")),
            ("quoted-printable", "a=3", Err(MimeError::QuotedPrintable)),
            ("quoted-printable", "=zz", Err(MimeError::QuotedPrintable)),
            ("x-uuencode", "a", Err(MimeError::Encoding)),
        ] {
            let text = message(&format!("Content-Transfer-Encoding: {encoding}\n\n{packed}"));
            let part = split(text.as_bytes()).expect("a message").remove(0);
            assert_eq!(part.body, body.map(|body| body.as_bytes().to_vec()), "{encoding} {packed}");
        }
    }

    #[test]
    fn incomplete_or_wrong_messages_are_refused() {
        let nested = |depth: usize| {
            (0..depth).fold("\nx".to_owned(), |inner, level| {
                format!(
                    "Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n{inner}\n--b{level}--\n"
                )
            })
        };
        let many = "\nx\n--=x y\n".repeat(MAX_PARTS) + "\nx";
        let long = "X-Long: header\n".repeat(5000);
        for (text, why) in [
            ("Content-Type: multipart/mixed\n\n--x\n", MimeError::NoBoundary),
            ("Content-Type: multipart/mixed; boundary=x\n\n--x\n\n#!/bin/sh\nrm -rf /tm", MimeError::CutOff),
            ("Content-Type: multipart/mixed; boundary=x\n\n", MimeError::NoOpening),
            ("Content-Type: multipart/mixed; boundary=x\n\n--xy\n\n#!/bin/sh\n--x--\n", MimeError::NoOpening),
            (
                "Content-Type: multipart/mixed; boundary=x\n\n--x--\n--x\n\n#!/bin/sh\n--x--\n",
                MimeError::NoOpening,
            ),
            (
                &message("Content-Type: multipart/mixed; boundary=x\n\n--x--\n--=x y\n\n#!/bin/sh"),
                MimeError::NoOpening,
            ),
            (&message("x").replace("\n\n", "\n\n\n #!/bin/sh\n"), MimeError::Outside),
            (&message("x").replace("\n\n", "\n\n--wrong\ncontent-type: x\n\n"), MimeError::Outside),
            (&(message("x") + "--=x y\n\nx\n--=x y--\n"), MimeError::Outside),
            (&message("x").repeat(2), MimeError::Outside),
            (&nested(MAX_DEPTH + 1), MimeError::TooDeep),
            (&message(&many), MimeError::TooMany),
            // The number of parts is checked before the end of the message.
            (
                &format!("Content-Type: multipart/mixed; boundary=x\n\n{}", "--x\n".repeat(MAX_PARTS + 2)),
                MimeError::TooMany,
            ),
            (&message(&long), MimeError::LongHeaders),
            (&format!("MIME-Version: 1.0\n{long}"), MimeError::LongHeaders),
        ] {
            assert_eq!(split(text.as_bytes()), Err(why), "{text}");
        }
        assert_eq!(split(nested(MAX_DEPTH).as_bytes()).expect("not too deep").len(), 1);
        let noted = message("x").replace("\n\n", "\n\nA note.\n") + "--=x y--\nA note on #!\n";
        assert_eq!(split(noted.as_bytes()).expect("notes are ignored").len(), 1);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic() {
        let mut random = fastrand::Rng::with_seed(5);
        let good = message(
            "Content-Type: multipart/mixed; boundary=q\n\n--q\nContent-Transfer-Encoding: quoted-printable\n\na=3D=\nb\n--q--\n--=x y\nContent-Transfer-Encoding: base64\n\nIyEK",
        );
        for _ in 0..20_000 {
            let mut bytes = good.clone().into_bytes();
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..bytes.len().max(1));
                match random.u8(..20) {
                    _ if bytes.is_empty() => {}
                    0..=9 => bytes[at] = *random.choice(b"=-\"\\;:\r\n \xff\0").unwrap_or(&0),
                    10..=18 => drop(bytes.remove(at)),
                    _ => bytes.truncate(at + 1),
                }
            }
            let _ = (is_message(&bytes), split(&bytes));
        }
    }
}

//! MIME messages taken apart, as `cloud-init`'s users write them (RFC 2045 to 2047, as far as scripts need it). Pure, and bounded in
//! depth and in parts.
//!
//! Strict where a guess could run half a script: a message whose last delimiter is missing was cut off, and is no message.

use std::borrow::Cow;
use std::fmt;

use base64ct::{Base64, Encoding};

/// Messages within messages.
const DEEPEST: usize = 4;
const MOST_PARTS: usize = 100;
/// The headers of a message or part, in bytes: a value of a few kilobytes can unpack to millions of lines.
const LONGEST_HEADERS: usize = 64 * 1024;
/// cloud-init looks this far for the line that makes a message.
const MARK_WITHIN: usize = 4096;

/// One part that is no message itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MimePart {
    /// In lower case, without its parameters; `text/plain` where the part does not say, or says what is no type.
    pub(crate) content_type: String,
    /// The file name that it was given.
    pub(crate) name: Option<String>,
    /// Its bytes as they were before they were packed for the way.
    pub(crate) body: Result<Vec<u8>, MimeError>,
}

/// What is wrong with a message, or with one part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MimeError {
    /// A multipart without a `boundary=`.
    NoBoundary,
    /// No line opens the first part of a multipart.
    NoOpening,
    /// The closing delimiter is missing.
    CutOff,
    /// What could be meant to run stands in front of the first part of a multipart, or behind its last.
    Outside,
    /// Messages within messages within…
    TooDeep,
    /// More parts than anybody needs.
    TooMany,
    /// Longer headers than anybody needs.
    LongHeaders,
    /// A part's `Content-Transfer-Encoding` that nobody uses.
    Encoding,
    /// A part that says base64 and is something else.
    Base64,
    /// A part that says quoted-printable and is something else.
    QuotedPrintable,
}

/// Whether a value is a MIME message: it has the line `MIME-Version:` near its beginning, in its headers.
pub(crate) fn is_message(value: &[u8]) -> bool {
    let headers = headers(&value[..value.len().min(MARK_WITHIN)]);
    headers.is_ok_and(|(headers, _)| headers.iter().any(|(name, _)| name == "mime-version"))
}

/// The parts of a message, in their order.
///
/// # Errors
/// Where the message as a whole cannot be understood. What is wrong with one part stands in that part.
pub(crate) fn split(message: &[u8]) -> Result<Vec<MimePart>, MimeError> {
    let mut parts = Vec::new();
    take(message, DEEPEST, &mut parts)?;
    Ok(parts)
}

fn take(entity: &[u8], depth: usize, parts: &mut Vec<MimePart>) -> Result<(), MimeError> {
    let (headers, body) = headers(entity)?;
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value);
    let (content_type, parameters) = value_and_parameters(header("content-type").unwrap_or("text/plain"));
    if content_type.starts_with("multipart/") {
        let boundary = parameter(&parameters, "boundary").ok_or(MimeError::NoBoundary)?;
        let depth = depth.checked_sub(1).ok_or(MimeError::TooDeep)?;
        return between(body, boundary)?.into_iter().try_for_each(|part| take(part, depth, parts));
    }
    if parts.len() == MOST_PARTS {
        return Err(MimeError::TooMany);
    }
    let disposition = value_and_parameters(header("content-disposition").unwrap_or_default()).1;
    let name = parameter(&disposition, "filename").or(parameter(&parameters, "name")).map(str::to_owned);
    let body = decode(body, header("content-transfer-encoding").unwrap_or("7bit"));
    parts.push(MimePart { content_type, name, body });
    Ok(())
}

/// The header fields, names in lower case and folded lines joined, and what follows the empty line behind them.
#[expect(clippy::type_complexity, reason = "fields, and the rest")]
fn headers(entity: &[u8]) -> Result<(Vec<(String, String)>, &[u8]), MimeError> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut at = 0;
    for line in entity.split_inclusive(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(without_line_end(line));
        if text.is_empty() {
            at += line.len();
            break;
        }
        match (text.split_once(':'), fields.last_mut()) {
            _ if at == 0 && text.starts_with("From ") => {}
            (_, Some((_, last))) if text.starts_with([' ', '\t']) => last.push_str(&text),
            (Some((name, value)), _) if is_name(name) => {
                fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            // No header: the body begins here, as in a part that has none.
            _ => break,
        }
        at += line.len();
        if at > LONGEST_HEADERS {
            return Err(MimeError::LongHeaders);
        }
    }
    Ok((fields, &entity[at..]))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// `text/x; a=b; c="d"` taken apart.
fn value_and_parameters(field: &str) -> (String, Vec<(String, String)>) {
    let mut pieces = pieces(field).into_iter();
    let value = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
    let parameters = pieces.filter_map(|piece| {
        let (name, value) = piece.split_once('=')?;
        Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
    });
    (value, parameters.collect())
}

/// Splits at the semicolons that stand outside quotes, and takes the quotes away.
fn pieces(field: &str) -> Vec<String> {
    let (mut pieces, mut quoted) = (vec![String::new()], false);
    let mut letters = field.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => quoted = !quoted,
            ';' if !quoted => pieces.push(String::new()),
            _ => {
                let letter = if quoted && letter == '\\' { letters.next() } else { Some(letter) };
                pieces.last_mut().into_iter().for_each(|piece| piece.extend(letter));
            }
        }
    }
    pieces
}

fn parameter<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = parameters.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
}

/// What stands between the delimiters. Text outside them is ignored (RFC 2046), but not where it could be meant to run.
fn between<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<&'a [u8]>, MimeError> {
    let (mut parts, mut start, mut at) = (Vec::new(), None, 0);
    let (mut is_closed, mut is_more) = (false, false);
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let rest = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary.as_bytes()));
        match rest.map(<[u8]>::trim_ascii) {
            Some(rest @ (b"" | b"--")) if !is_closed => {
                // The line end in front of a delimiter is the delimiter's.
                parts.extend(start.map(|start| without_line_end(&body[start..at])));
                if parts.len() > MOST_PARTS {
                    return Err(MimeError::TooMany);
                }
                is_closed = rest == b"--";
                start = (!is_closed).then_some(at + line.len());
            }
            rest => is_more |= start.is_none() && (rest == Some(b"") || is_beginning(line)),
        }
        at += line.len();
    }
    match (start, is_closed) {
        (None, _) if parts.is_empty() => Err(MimeError::NoOpening),
        (_, false) => Err(MimeError::CutOff),
        _ if is_more => Err(MimeError::Outside),
        _ => Ok(parts),
    }
}

/// Whether a script, a part or a message begins with this line.
fn is_beginning(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    let begins =
        |with: &&str| line.get(..with.len()).is_some_and(|b| b.eq_ignore_ascii_case(with.as_bytes()));
    ["#!", "MIME-Version:", "Content-Type:"].iter().any(begins)
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn decode(body: &[u8], encoding: &str) -> Result<Vec<u8>, MimeError> {
    match &*encoding.to_ascii_lowercase() {
        "7bit" | "8bit" | "binary" => Ok(body.to_vec()),
        "base64" => {
            let text: String =
                body.iter().filter(|b| !b.is_ascii_whitespace()).map(|b| char::from(*b)).collect();
            Base64::decode_vec(&text).map_err(|_| MimeError::Base64)
        }
        "quoted-printable" => quoted_printable(body),
        _ => Err(MimeError::Encoding),
    }
}

fn quoted_printable(body: &[u8]) -> Result<Vec<u8>, MimeError> {
    let mut decoded = Vec::with_capacity(body.len());
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let text = line.trim_ascii_end();
        let end = &line[without_line_end(line).len()..];
        // A line that ends with `=` goes on in the next one; white space at a line's end was put there on the way.
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

impl fmt::Display for MimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&match self {
            Self::NoBoundary => Cow::from(
                "the MIME message is a multipart without `boundary=` (`boundary*=` is not understood)",
            ),
            Self::NoOpening => "the MIME message has no opening delimiter: no line is `--` and its boundary".into(),
            Self::CutOff => "the MIME message was cut off: its closing delimiter is missing".into(),
            Self::Outside => {
                "the MIME message has a script, a part or a message outside its delimiters: put it between them"
                    .into()
            }
            Self::TooDeep => format!("the MIME message holds messages more than {DEEPEST} deep").into(),
            Self::TooMany => format!("the MIME message holds more than {MOST_PARTS} parts").into(),
            Self::LongHeaders => {
                format!("the MIME message has headers of more than {} KiB", LONGEST_HEADERS >> 10).into()
            }
            Self::Encoding => {
                "the part's Content-Transfer-Encoding is none of 7bit, 8bit, binary, base64, quoted-printable"
                    .into()
            }
            Self::Base64 => "the part says that it is base64, and is not".into(),
            Self::QuotedPrintable => "the part says that it is quoted-printable, and is not".into(),
        })
    }
}

impl std::error::Error for MimeError {}

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
    fn a_message_is_known_by_its_headers_and_a_script_is_none() {
        for (value, is) in [
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
            assert_eq!(is_message(value.as_bytes()), is, "{value}");
        }
    }

    #[test]
    fn parts_come_in_their_order_with_type_name_and_bytes() {
        let parts = "Content-Type: text/x-shellscript; charset=\"us-ascii\"\nContent-Disposition: attachment;\n filename=\"a;\\\"b.sh\"\n\n#!/bin/sh\necho --=x\n\n--=x y \nContent-Type: TEXT/Cloud-Config; name=c.yaml\n\n#cloud-config\n--=x y\n\nno headers: none\n--=x y\n#!/bin/sh";
        let own = |kind: &str, name: Option<&str>, body: &str| {
            (kind.to_owned(), name.map(str::to_owned), body.to_owned())
        };
        let expected = vec![
            own("text/x-shellscript", Some("a;\"b.sh"), "#!/bin/sh\necho --=x\n"),
            own("text/cloud-config", Some("c.yaml"), "#cloud-config"),
            own("text/plain", None, "no headers: none"),
            own("text/plain", None, "#!/bin/sh"),
        ];
        assert_eq!(bodies(&message(parts)), expected);
        let crlf = message("Content-Type: text/x-shellscript\n\nx").replace('\n', "\r\n");
        assert_eq!(bodies(&crlf), [own("text/x-shellscript", None, "x")]);
    }

    #[test]
    fn each_encoding_is_undone() {
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
    fn what_is_no_whole_message_is_refused() {
        let nested = |depth: usize| {
            (0..depth).fold("\nx".to_owned(), |inner, level| {
                format!(
                    "Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n{inner}\n--b{level}--\n"
                )
            })
        };
        let many = "\nx\n--=x y\n".repeat(MOST_PARTS) + "\nx";
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
            (&nested(DEEPEST + 1), MimeError::TooDeep),
            (&message(&many), MimeError::TooMany),
            // Not even counted to its end.
            (
                &format!("Content-Type: multipart/mixed; boundary=x\n\n{}", "--x\n".repeat(MOST_PARTS + 2)),
                MimeError::TooMany,
            ),
            (&message(&long), MimeError::LongHeaders),
            (&format!("MIME-Version: 1.0\n{long}"), MimeError::LongHeaders),
        ] {
            assert_eq!(split(text.as_bytes()), Err(why), "{text}");
        }
        assert_eq!(split(nested(DEEPEST).as_bytes()).expect("not too deep").len(), 1);
        let noted = message("x").replace("\n\n", "\n\nA note.\n") + "--=x y--\nA note on #!\n";
        assert_eq!(split(noted.as_bytes()).expect("notes are ignored").len(), 1);
    }

    #[test]
    fn no_bytes_can_make_it_panic() {
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

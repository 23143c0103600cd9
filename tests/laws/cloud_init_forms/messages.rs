//! The forms that are compared with cloud-init: MIME messages, by their encoding and by their shape. Types are in `parts`.

use super::{Row, SCRIPT, base64, gzip, row};

/// The usual type of a script's part.
pub(super) const SHELL: &str = "text/x-shellscript";
const CUT_OFF: &str = "half a script is not run";
const NOTHING: &str = "cloud-init takes nothing of it, and logs nothing";
const DROPPED: &str = "what stands outside the delimiters never runs, and nobody would miss it";
/// The agent's answer to a message whose delimiters do not fit its boundary.
const NO_OPENING: &str = "fails: the MIME message has no opening delimiter";
/// The agent's answer to a script outside of the delimiters.
const OUTSIDE: &str = "fails: the MIME message has a script";
const ENCODED: &str = "what cannot be decoded to its last byte may be damaged";

/// A message with one part; its headers end with an empty line.
pub(super) fn message(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = "Content-Type: multipart/mixed; boundary=\"=b\"\nMIME-Version: 1.0\n\n--=b\n";
    [head.as_bytes(), headers.as_bytes(), b"\n", body, b"\n--=b--\n"].concat()
}

/// A message whose part has this type.
pub(super) fn part(
    what: &'static str,
    content_type: &str,
    body: &[u8],
    agent: &'static str,
    cloud_init: &'static str,
) -> Row {
    row(what, message(&format!("Content-Type: {content_type}\n"), body), agent, cloud_init)
}

/// A message whose part is a script with this Content-Transfer-Encoding.
pub(super) fn encoded(
    what: &'static str,
    encoding: &str,
    body: &[u8],
    agent: &'static str,
    cloud_init: &'static str,
) -> Row {
    let headers = format!("Content-Type: {SHELL}\nContent-Transfer-Encoding: {encoding}\n");
    row(what, message(&headers, body), agent, cloud_init)
}

/// A message with a script as its only part.
fn complete() -> String {
    String::from_utf8(message(&format!("Content-Type: {SHELL}\n"), SCRIPT)).expect("UTF-8")
}

/// That message's part, with the delimiter in front of it.
fn script_part() -> String {
    format!("--=b\nContent-Type: {SHELL}\n\n#!/bin/sh\ntrue\n\n")
}

pub(super) fn shapes() -> Vec<Row> {
    [encodings(), damaged(), boundaries(), outside(), nested()].into_iter().flatten().collect()
}

/// Messages with one part, by its encoding.
fn encodings() -> Vec<Row> {
    let script = base64(SCRIPT);
    let padded = base64(b"#!/bin/sh\ntrue #\n");
    let unpadded = padded.trim_end_matches('=').as_bytes();
    vec![
        encoded("a part in base64", "base64", script.as_bytes(), "runs", "runs"),
        encoded("…, without padding", "base64", unpadded, "fails: the part is declared as base64", "runs")
            .because(ENCODED),
        encoded(
            "…, with other characters in it",
            "base64",
            format!("?{script}").as_bytes(),
            "fails: the part is declared as base64",
            "runs",
        )
        .because(ENCODED),
        encoded(
            "a part in quoted-printable",
            "quoted-printable",
            b"#!/bin/sh\ntru=\ne =23=20\n",
            "runs",
            "runs",
        ),
        encoded(
            "…, with `=` and no code",
            "quoted-printable",
            b"#!/bin/sh\ntrue # =zz\n",
            "fails: the part is declared as quoted-printable",
            "runs",
        )
        .because(ENCODED),
        encoded(
            "a part in an encoding that is none (`x`)",
            "x",
            SCRIPT,
            "fails: the part's Content-Transfer-Encoding",
            "runs",
        )
        .because(ENCODED),
    ]
}

/// Messages that were cut off, changed or packed on the way.
fn damaged() -> Vec<Row> {
    let text = complete();
    vec![
        row(
            "a message without its closing delimiter",
            text.strip_suffix("--=b--\n").expect("its end"),
            "fails: the MIME message was cut off",
            "runs",
        )
        .because(CUT_OFF),
        row(
            "a message that ends within its script",
            text.split_once("true").expect("a script").0,
            "fails: the MIME message was cut off",
            "runs",
        )
        .because(CUT_OFF),
        row(
            "a message with CRLF throughout",
            text.replace('\n', "\r\n"),
            "fails: the script has Windows line ends",
            "runs",
        )
        .because("a script runs byte for byte as it was set; CRLF is a fault in every key"),
        row("a message in gzip", gzip(text.as_bytes()), "runs", "runs"),
        row(
            "a message in base64 (Terraform without gzip)",
            base64(text.as_bytes()),
            "fails: the value is base64: set",
            "ignored",
        ),
        row(
            "a message with an empty line in front",
            format!("\n{text}"),
            "fails: the MIME message begins with white",
            "ignored",
        ),
        row(
            "a message without `MIME-Version:`",
            text.replace("MIME-Version: 1.0\n", ""),
            "fails: the value is neither a script nor",
            "ignored",
        ),
    ]
}

/// Messages whose boundary or delimiters are wrong.
fn boundaries() -> Vec<Row> {
    let text = complete();
    let within = |inner: &str| {
        format!("Content-Type: multipart/mixed; boundary=o\nMIME-Version: 1.0\n\n--o\n{inner}\n--o--\n")
    };
    vec![
        row(
            "a message without a boundary",
            text.replace("; boundary=\"=b\"", ""),
            "fails: the MIME message is a multipart",
            "nothing",
        )
        .because(NOTHING),
        row(
            "a message with `boundary*=us-ascii''=b`",
            text.replace("boundary=\"=b\"", "boundary*=us-ascii''=b"),
            "fails: the MIME message is a multipart",
            "runs",
        )
        .because("no tool for cloud-init writes a boundary so (RFC 2231)"),
        row(
            "a message whose delimiters are not those of its boundary",
            text.replace("--=b", "--=boundry"),
            NO_OPENING,
            "nothing",
        )
        .because(NOTHING),
        row(
            "a message whose first delimiter is wrong",
            text.replacen("--=b", "--=boundry", 1),
            NO_OPENING,
            "nothing",
        )
        .because(NOTHING),
        row("…, in a message", within(&text.replacen("--=b", "--=boundry", 1)), NO_OPENING, "nothing")
            .because(NOTHING),
        row(
            "a message with nothing but its closing delimiter",
            text.replace(&script_part(), ""),
            NO_OPENING,
            "nothing",
        )
        .because(NOTHING),
    ]
}

/// Messages with text in front of the first delimiter or behind the last one.
fn outside() -> Vec<Row> {
    let (text, inner) = (complete(), script_part());
    let noted = |note: &str| text.replacen("--=b\n", &format!("{note}--=b\n"), 1) + note;
    vec![
        row(
            "a message with a note in front of its first delimiter, and behind its last",
            noted("A note.\n"),
            "runs",
            "runs",
        ),
        row("…, with a script there", noted("\n #!/bin/sh\n"), OUTSIDE, "runs").because(DROPPED),
        row("a message behind another one", text.repeat(2), OUTSIDE, "runs").because(DROPPED),
        row("a part behind the closing delimiter", format!("{text}{inner}"), OUTSIDE, "runs")
            .because(DROPPED),
    ]
}

/// Messages within messages.
fn nested() -> Vec<Row> {
    let deep = |depth: usize| {
        (0..depth).fold(format!("Content-Type: {SHELL}\n\n#!/bin/sh\n"), |inner, level| {
            format!("Content-Type: multipart/mixed; boundary=b{level}\nMIME-Version: 1.0\n\n--b{level}\n{inner}\n--b{level}--\n")
        })
    };
    vec![
        row(
            "a message that is one script",
            format!("Content-Type: {SHELL}\nMIME-Version: 1.0\n\n#!/bin/sh\n"),
            "runs",
            "runs",
        ),
        row("messages in each other, 4 deep", deep(4), "runs", "runs"),
        row("…, 5 deep", deep(5), "fails: the MIME message contains messages", "runs")
            .because("the depth is bounded"),
    ]
}

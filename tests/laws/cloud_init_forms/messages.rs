//! The forms that are compared: MIME messages.

use super::{BLANK_AGAINST_WARNING, Row, SCRIPT, base64, gzip, same};

const SHELL: &str = "text/x-shellscript";
const CUT_OFF: &str = "half a script is not run";
const NOTHING: &str = "cloud-init takes nothing of it, and logs nothing";
const DROPPED: &str = "what stands outside the delimiters never runs, and nobody would miss it";
const NO_OPENING: &str = "fails: the MIME message has no opening delimiter";
const OUTSIDE: &str = "fails: the MIME message has a script";
const ENCODED: &str = "what cannot be decoded to its last byte may be damaged";

/// A message with one part; its headers end with an empty line.
fn message(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = "Content-Type: multipart/mixed; boundary=\"=b\"\nMIME-Version: 1.0\n\n--=b\n";
    [head.as_bytes(), headers.as_bytes(), b"\n", body, b"\n--=b--\n"].concat()
}

fn part(
    what: &'static str,
    content_type: &str,
    body: &[u8],
    agent: &'static str,
    cloud_init: &'static str,
) -> Row {
    same(what, message(&format!("Content-Type: {content_type}\n"), body), agent, cloud_init)
}

fn encoded(
    what: &'static str,
    encoding: &str,
    body: &[u8],
    agent: &'static str,
    cloud_init: &'static str,
) -> Row {
    let headers = format!("Content-Type: {SHELL}\nContent-Transfer-Encoding: {encoding}\n");
    same(what, message(&headers, body), agent, cloud_init)
}

/// By the type that a part says it has.
pub(super) fn types() -> Vec<Row> {
    let packed = |kind: &str| {
        let headers = format!("Content-Type: {kind}\nContent-Transfer-Encoding: base64\n");
        message(&headers, base64(&gzip(SCRIPT)).as_bytes())
    };
    const TYPE: &str = "fails: the part's Content-Type is none";
    vec![
        part("a part `text/x-shellscript`", SHELL, SCRIPT, "runs", "runs"),
        part("…, its type in capitals", "TEXT/X-SHELLSCRIPT", SCRIPT, "runs", "runs"),
        part(
            "…, with an empty line in front of `#!`",
            SHELL,
            b"\n#!/bin/sh\n",
            "fails: the value has white space",
            "cannot be executed",
        ),
        encoded(
            "…, with a byte order mark",
            "base64",
            base64("\u{feff}#!/bin/sh\n".as_bytes()).as_bytes(),
            "fails: the value begins with a byte order mark",
            "cannot be executed",
        ),
        part(
            "…, with CRLF",
            SHELL,
            b"#!/bin/sh\r\ntrue\r\n",
            "fails: the script has Windows line ends",
            "runs",
        )
        .because("a script runs byte for byte as it was set; CRLF is a fault in every key"),
        part(
            "…, text",
            SHELL,
            b"echo hello",
            "fails: the script does not start with `#!`",
            "cannot be executed",
        ),
        part("…, empty", SHELL, b"", "fails: the script is empty", "cannot be executed"),
        part(
            "…, and in it `#cloud-config`",
            SHELL,
            b"#cloud-config\n{}",
            "passed over: #cloud-config",
            "taken as text/cloud-config",
        ),
        part(
            "…, and in it `## template: jinja`",
            SHELL,
            b"## template: jinja\n#!/bin/sh\n",
            "passed over: ## template: jinja",
            "taken as text/jinja2",
        ),
        same("…, and in it gzip", packed(SHELL), "runs", "fails")
            .because("its first bytes say what it is, and earlier versions of the agent ran it"),
        part(
            "a part `text/x-shellscript-per-boot`",
            "text/x-shellscript-per-boot",
            SCRIPT,
            "runs at every boot",
            "runs at every boot",
        ),
        part(
            "…, text",
            "text/x-shellscript-per-boot",
            b"echo hello",
            "fails: the script does not start with `#!`",
            "cannot be executed",
        ),
        part(
            "a part `text/x-shellscript-per-instance`",
            "text/x-shellscript-per-instance",
            SCRIPT,
            "runs",
            "runs",
        ),
        part("a part `text/x-shellscript-per-once`", "text/x-shellscript-per-once", SCRIPT, "runs", "runs"),
        part("a part `text/plain`, a script", "text/plain", SCRIPT, "runs", "runs"),
        part("…, text", "text/plain", b"echo hello", "fails: the value is neither a script nor", "ignored"),
        part(
            "…, base64 of a script",
            "text/plain",
            base64(SCRIPT).as_bytes(),
            "fails: the value is base64: set",
            "ignored",
        ),
        part("…, empty", "text/plain", b"", "nothing", "nothing"),
        part("…, white space", "text/plain", b" \n", "nothing", "ignored").because(BLANK_AGAINST_WARNING),
        same("a part without a type, a script", message("", SCRIPT), "runs", "runs"),
        part("a part whose type is none (`script`)", "script", SCRIPT, "runs", "runs"),
        part(
            "a part `text/cloud-config`, a script",
            "text/cloud-config",
            SCRIPT,
            "passed over: text/cloud-config",
            "taken as text/cloud-config",
        ),
        part(
            "a part `text/cloud-config-archive`",
            "text/cloud-config-archive",
            b"[]",
            "passed over: text/cloud-config-archive",
            "taken as text/cloud-config-archive",
        ),
        part(
            "a part `text/cloud-config-jsonp`",
            "text/cloud-config-jsonp",
            b"[]",
            "passed over: text/cloud-config-jsonp",
            "taken as text/cloud-config-jsonp",
        ),
        part(
            "a part `text/cloud-boothook`",
            "text/cloud-boothook",
            SCRIPT,
            "passed over: text/cloud-boothook",
            "taken as text/cloud-boothook",
        ),
        part(
            "a part `text/x-include-url`",
            "text/x-include-url",
            b"http://example.com/",
            "passed over: text/x-include-url",
            "taken as text/x-include-url",
        ),
        part(
            "a part `text/x-include-once-url`",
            "text/x-include-once-url",
            b"http://example.com/",
            "passed over: text/x-include-once-url",
            "taken as text/x-include-url",
        ),
        part(
            "a part `text/part-handler`",
            "text/part-handler",
            b"#part-handler",
            "passed over: text/part-handler",
            "taken as text/part-handler",
        ),
        part(
            "a part `text/jinja2`",
            "text/jinja2",
            b"## template: jinja\n#!/bin/sh",
            "passed over: text/jinja2",
            "taken as text/jinja2",
        ),
        part("a part `text/html`", "text/html", SCRIPT, TYPE, "ignored"),
        part(
            "a part `text/upstart-job`, which cloud-init had once",
            "text/upstart-job",
            b"x",
            TYPE,
            "ignored",
        ),
        part(
            "a part `application/octet-stream`, a script",
            "application/octet-stream",
            SCRIPT,
            "runs",
            "ignored",
        )
        .because("its first bytes say what it is, and earlier versions of the agent ran it"),
        part("…, `#cloud-config`", "application/octet-stream", b"#cloud-config\n", TYPE, "ignored"),
        same("a part `application/gzip`", packed("application/gzip"), "runs", "runs"),
        same("a part `application/x-gunzip`", packed("application/x-gunzip"), "runs", "runs"),
        part(
            "a part `application/gzip` that is a script",
            "application/gzip",
            SCRIPT,
            "fails: the part says that it is gzip",
            "fails",
        ),
        part(
            "a part `message/rfc822` with a script",
            "message/rfc822",
            format!("Content-Type: {SHELL}\n\n#!/bin/sh\n").as_bytes(),
            "fails: the part is a message of its own",
            "runs",
        )
        .because("messages in each other are multiparts, as tools for cloud-init write them"),
    ]
}

/// By its encoding, and by the message around it.
pub(super) fn shapes() -> Vec<Row> {
    let whole = message(&format!("Content-Type: {SHELL}\n"), SCRIPT);
    let text = String::from_utf8(whole.clone()).expect("UTF-8");
    let nested = |depth: usize| {
        (0..depth).fold(format!("Content-Type: {SHELL}\n\n#!/bin/sh\n"), |inner, level| {
            format!("Content-Type: multipart/mixed; boundary=b{level}\nMIME-Version: 1.0\n\n--b{level}\n{inner}\n--b{level}--\n")
        })
    };
    let nesting = |inner: &str| {
        format!("Content-Type: multipart/mixed; boundary=o\nMIME-Version: 1.0\n\n--o\n{inner}\n--o--\n")
    };
    let inner = format!("--=b\nContent-Type: {SHELL}\n\n#!/bin/sh\ntrue\n\n");
    let noted = |note: &str| text.replacen("--=b\n", &format!("{note}--=b\n"), 1) + note;
    let script = base64(SCRIPT);
    let padded = base64(b"#!/bin/sh\ntrue #\n");
    let unpadded = padded.trim_end_matches('=').as_bytes();
    vec![
        encoded("a part in base64", "base64", script.as_bytes(), "runs", "runs"),
        encoded("…, without padding", "base64", unpadded, "fails: the part says that it is base64", "runs")
            .because(ENCODED),
        encoded(
            "…, with other characters in it",
            "base64",
            format!("?{script}").as_bytes(),
            "fails: the part says that it is base64",
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
            "fails: the part says that it is quoted-printable",
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
        same(
            "a message without its closing delimiter",
            text.strip_suffix("--=b--\n").expect("its end"),
            "fails: the MIME message was cut off",
            "runs",
        )
        .because(CUT_OFF),
        same(
            "a message that ends within its script",
            text.split_once("true").expect("a script").0,
            "fails: the MIME message was cut off",
            "runs",
        )
        .because(CUT_OFF),
        same(
            "a message with CRLF throughout",
            text.replace('\n', "\r\n"),
            "fails: the script has Windows line ends",
            "runs",
        )
        .because("a script runs byte for byte as it was set; CRLF is a fault in every key"),
        same("a message in gzip", gzip(&whole), "runs", "runs"),
        same(
            "a message in base64 (Terraform without gzip)",
            base64(&whole),
            "fails: the value is base64: set",
            "ignored",
        ),
        same(
            "a message with an empty line in front",
            format!("\n{text}"),
            "fails: the MIME message has white space",
            "ignored",
        ),
        same(
            "a message without `MIME-Version:`",
            text.replace("MIME-Version: 1.0\n", ""),
            "fails: the value is neither a script nor",
            "ignored",
        ),
        same(
            "a message without a boundary",
            text.replace("; boundary=\"=b\"", ""),
            "fails: the MIME message is a multipart",
            "nothing",
        )
        .because(NOTHING),
        same(
            "a message with `boundary*=us-ascii''=b`",
            text.replace("boundary=\"=b\"", "boundary*=us-ascii''=b"),
            "fails: the MIME message is a multipart",
            "runs",
        )
        .because("no tool for cloud-init writes a boundary so (RFC 2231)"),
        same(
            "a message whose delimiters are not those of its boundary",
            text.replace("--=b", "--=boundry"),
            NO_OPENING,
            "nothing",
        )
        .because(NOTHING),
        same(
            "a message whose first delimiter is wrong",
            text.replacen("--=b", "--=boundry", 1),
            NO_OPENING,
            "nothing",
        )
        .because(NOTHING),
        same("…, in a message", nesting(&text.replacen("--=b", "--=boundry", 1)), NO_OPENING, "nothing")
            .because(NOTHING),
        same(
            "a message with nothing but its closing delimiter",
            text.replace(&inner, ""),
            NO_OPENING,
            "nothing",
        )
        .because(NOTHING),
        same(
            "a message with a note in front of its first delimiter, and behind its last",
            noted("A note.\n"),
            "runs",
            "runs",
        ),
        same("…, with a script there", noted("\n #!/bin/sh\n"), OUTSIDE, "runs").because(DROPPED),
        same("a message behind another one", text.repeat(2), OUTSIDE, "runs").because(DROPPED),
        same("a part behind the closing delimiter", format!("{text}{inner}"), OUTSIDE, "runs")
            .because(DROPPED),
        same(
            "a message that is one script",
            format!("Content-Type: {SHELL}\nMIME-Version: 1.0\n\n#!/bin/sh\n"),
            "runs",
            "runs",
        ),
        same("messages in each other, 4 deep", nested(4), "runs", "runs"),
        same("…, 5 deep", nested(5), "fails: the MIME message holds messages", "runs")
            .because("the depth is bounded"),
    ]
}

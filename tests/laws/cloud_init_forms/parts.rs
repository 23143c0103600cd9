//! The forms that are compared with cloud-init: MIME messages with one part, by the type that the part declares.

use super::messages::{SHELL, encoded, message, part};
use super::{BLANK_AGAINST_WARNING, Row, SCRIPT, base64, gzip, row};

/// The agent's answer to a type that it does not know.
const TYPE: &str = "fails: cloud-init does not support";

pub(super) fn types() -> Vec<Row> {
    [shell_scripts(), other_scripts(), cloud_init_types(), other_types()].into_iter().flatten().collect()
}

/// A message with one part of this type: a script, packed with gzip and encoded in base64.
fn packed(content_type: &str) -> Vec<u8> {
    let headers = format!("Content-Type: {content_type}\nContent-Transfer-Encoding: base64\n");
    message(&headers, base64(&gzip(SCRIPT)).as_bytes())
}

/// Parts of the type `text/x-shellscript`.
fn shell_scripts() -> Vec<Row> {
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
        row("…, and in it gzip", packed(SHELL), "runs", "fails")
            .because("its first bytes say what it is, and earlier versions of the agent ran it"),
    ]
}

/// Other types under which cloud-init looks for a script.
fn other_scripts() -> Vec<Row> {
    vec![
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
        row("a part without a type, a script", message("", SCRIPT), "runs", "runs"),
        part("a part whose type is none (`script`)", "script", SCRIPT, "runs", "runs"),
    ]
}

/// Types that only cloud-init handles: the part's name in the table, its type, its content, the agent's answer, and cloud-init's.
const CLOUD_INIT_TYPES: [(&str, &str, &[u8], &str, &str); 8] = [
    (
        "a part `text/cloud-config`, a script",
        "text/cloud-config",
        SCRIPT,
        "passed over: text/cloud-config",
        "taken as text/cloud-config",
    ),
    (
        "a part `text/cloud-config-archive`",
        "text/cloud-config-archive",
        b"[]",
        "passed over: text/cloud-config-archive",
        "taken as text/cloud-config-archive",
    ),
    (
        "a part `text/cloud-config-jsonp`",
        "text/cloud-config-jsonp",
        b"[]",
        "passed over: text/cloud-config-jsonp",
        "taken as text/cloud-config-jsonp",
    ),
    (
        "a part `text/cloud-boothook`",
        "text/cloud-boothook",
        SCRIPT,
        "passed over: text/cloud-boothook",
        "taken as text/cloud-boothook",
    ),
    (
        "a part `text/x-include-url`",
        "text/x-include-url",
        b"http://example.com/",
        "passed over: text/x-include-url",
        "taken as text/x-include-url",
    ),
    (
        "a part `text/x-include-once-url`",
        "text/x-include-once-url",
        b"http://example.com/",
        "passed over: text/x-include-once-url",
        "taken as text/x-include-url",
    ),
    (
        "a part `text/part-handler`",
        "text/part-handler",
        b"#part-handler",
        "passed over: text/part-handler",
        "taken as text/part-handler",
    ),
    (
        "a part `text/jinja2`",
        "text/jinja2",
        b"## template: jinja\n#!/bin/sh",
        "passed over: text/jinja2",
        "taken as text/jinja2",
    ),
];

fn cloud_init_types() -> Vec<Row> {
    let row =
        |(what, content_type, body, agent, cloud_init)| part(what, content_type, body, agent, cloud_init);
    CLOUD_INIT_TYPES.map(row).into()
}

/// Types that are neither a script's nor cloud-init's own.
fn other_types() -> Vec<Row> {
    vec![
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
        row("a part `application/gzip`", packed("application/gzip"), "runs", "runs"),
        row("a part `application/x-gunzip`", packed("application/x-gunzip"), "runs", "runs"),
        part(
            "a part `application/gzip` that is a script",
            "application/gzip",
            SCRIPT,
            "fails: the part is declared as gzip",
            "fails",
        ),
        part(
            "a part `message/rfc822` with a script",
            "message/rfc822",
            format!("Content-Type: {SHELL}\n\n#!/bin/sh\n").as_bytes(),
            "fails: the part is itself a MIME message",
            "runs",
        )
        .because("messages in each other are multiparts, as tools for cloud-init write them"),
    ]
}

//! The forms that are compared with cloud-init: plain values. MIME messages are in `messages` and `parts`.

use super::{BLANK_AGAINST_WARNING, Row, SCRIPT, base64, gzip, row, utf16};

const BYTE_FOR_BYTE: &str = "a script runs byte for byte as it was set; CRLF is a fault in every key";
const ARCHIVE: &str = "a script may carry an archive behind its last line";
const DAMAGED: &str = "what does not end as gzip ends may be damaged";

/// Scripts, and scripts with a mistake in front of or in their first line.
pub(super) fn scripts() -> Vec<Row> {
    vec![
        row("a script", SCRIPT, "runs", "runs"),
        row("a script without a line end", "#!/bin/sh", "runs", "runs"),
        row("a script with letters that are not ASCII", "#!/bin/sh\n# été\n", "runs", "runs"),
        row("a script with bytes that are not UTF-8", b"#!/bin/sh\ntrue\nexit\n\xff\xfe\n", "runs", "fails")
            .because(ARCHIVE),
        row("a script with `MIME-Version:` in a comment", "#!/bin/sh\n# MIME-Version: 1.0\n", "runs", "runs"),
        row("a script with CRLF", "#!/bin/sh\r\ntrue\r\n", "fails: the script has Windows line ends", "runs")
            .because(BYTE_FOR_BYTE),
        row(
            "an empty line in front of `#!`",
            "\n#!/bin/sh\ntrue\n",
            "fails: the value has white space",
            "cannot be executed",
        ),
        row(
            "spaces in front of `#!`",
            "  #!/bin/sh\ntrue\n",
            "fails: the value has white space",
            "cannot be executed",
        ),
        row(
            "a byte order mark in front of `#!`",
            "\u{feff}#!/bin/sh\n",
            "fails: the value begins with a byte order mark",
            "ignored",
        ),
        row(
            "`#!` without an interpreter",
            "#!\ntrue\n",
            "fails: the script's first line has no",
            "cannot be executed",
        ),
        row(
            "`#!sh`",
            "#!sh\ntrue\n",
            "fails: the script's interpreter (line 1) is not",
            "cannot be executed",
        ),
    ]
}

/// Scripts that a tool encoded or packed.
pub(super) fn encoded_scripts() -> Vec<Row> {
    let wrapped = base64(&SCRIPT.repeat(9)).as_bytes().chunks(76).collect::<Vec<_>>().join(&b'\n');
    let url_safe = base64(b"#!/bin/sh\n# ???>>>???>>>\n").replace('+', "-").replace('/', "_");
    let packed = gzip(SCRIPT);
    vec![
        row(
            "UTF-16, little-endian",
            utf16("\u{feff}#!/bin/sh\n", u16::to_le_bytes),
            "fails: the value is UTF-16",
            "ignored",
        ),
        row(
            "UTF-16, big-endian",
            utf16("\u{feff}#!/bin/sh\n", u16::to_be_bytes),
            "fails: the value is UTF-16",
            "ignored",
        ),
        row(
            "UTF-16 without its mark",
            utf16("#!/bin/sh\n", u16::to_le_bytes),
            "fails: the value is UTF-16",
            "ignored",
        ),
        row("base64 of a script", base64(SCRIPT), "fails: the value is base64: set", "ignored"),
        row("base64 of a script, in lines", wrapped, "fails: the value is base64: set", "ignored"),
        row(
            "base64 of a script, for URLs, without padding",
            url_safe.trim_end_matches('='),
            "fails: the value is base64: set",
            "ignored",
        ),
        row(
            "base64 of base64 of a script",
            base64(base64(SCRIPT).as_bytes()),
            "fails: the value is base64: set",
            "ignored",
        ),
        row(
            "base64 of gzip (Terraform's default)",
            base64(&packed),
            "fails: the value is base64 of gzip",
            "ignored",
        ),
        row("gzip of a script", &*packed, "runs", "runs"),
        row("gzip in two members", [gzip(b"#!/bin/sh\n"), gzip(b"true\n")].concat(), "runs", "runs"),
        row("gzip of gzip", gzip(&packed), "fails: the value is packed with gzip twice", "ignored"),
        row("gzip of base64", gzip(base64(SCRIPT).as_bytes()), "fails: the value is base64: set", "ignored"),
        row("gzip that was cut off", &packed[..packed.len() - 6], "fails: the gzip data", "ignored"),
        row("gzip with text behind it", [&*packed, b"text"].concat(), "fails: the gzip data", "ignored"),
        row("gzip with zeros behind it", [&*packed, &[0; 8]].concat(), "fails: the gzip data", "runs")
            .because(DAMAGED),
    ]
}

const NEITHER: &str = "fails: the value is neither a script nor";

/// Values that are neither a script nor for cloud-init.
pub(super) fn other() -> Vec<Row> {
    vec![
        row("nothing", "", "nothing", "nothing"),
        row("white space", " \n", "nothing", "ignored").because(BLANK_AGAINST_WARNING),
        row("`@setup.sh`", "@setup.sh", "fails: the value is `@`", "ignored"),
        row("text", "echo hello\n", NEITHER, "ignored"),
        row("one word", "hello", NEITHER, "ignored"),
        row("`#\\!/bin/sh`", "#\\!/bin/sh\n", NEITHER, "ignored"),
        row("a JSON string of a script", "\"#!/bin/sh\\ntrue\\n\"", NEITHER, "ignored"),
        row("a program", b"\x7fELF\x02\x01\x01\0\0\0\0\0", NEITHER, "ignored"),
        row("an archive (zip)", b"PK\x03\x04\x14\0\0\0", NEITHER, "ignored"),
        row("a configuration without its first line", "packages: [jq]\n", NEITHER, "ignored"),
    ]
}

/// The first line `#cloud-config`, and what tools make of it.
pub(super) fn cloud_config() -> Vec<Row> {
    vec![
        row(
            "`#cloud-config`",
            "#cloud-config\n{}\n",
            "passed over: #cloud-config",
            "taken as text/cloud-config",
        ),
        row(
            "`#cloud-config` with CRLF",
            "#cloud-config\r\n{}\r\n",
            "passed over: #cloud-config",
            "taken as text/cloud-config",
        ),
        row(
            "`#Cloud-Config`",
            "#Cloud-Config\n{}\n",
            "passed over: #cloud-config",
            "taken as text/cloud-config",
        ),
        row(
            "an empty line in front of `#cloud-config`",
            "\n#cloud-config\n{}\n",
            "passed over: #cloud-config",
            "taken as text/cloud-config",
        ),
        row(
            "other white space in front of it",
            "\u{a0}\x1c\x0b#cloud-config\n{}\n",
            "passed over: #cloud-config",
            "taken as text/cloud-config",
        ),
        row(
            "a byte order mark in front of it",
            "\u{feff}#cloud-config\n",
            "fails: the value begins with a byte order mark",
            "ignored",
        ),
        row(
            "`#cloud-config` in UTF-16",
            utf16("\u{feff}#cloud-config\n", u16::to_le_bytes),
            "fails: the value is UTF-16",
            "ignored",
        ),
        row(
            "`#cloud-config` in base64",
            base64(b"#cloud-config\nusers: []\n"),
            "fails: the value is base64: set",
            "ignored",
        ),
        row(
            "`#cloud-config` in gzip",
            gzip(b"#cloud-config\n{}\n"),
            "passed over: #cloud-config",
            "taken as text/cloud-config",
        ),
    ]
}

/// The first lines of cloud-init's other formats.
pub(super) fn other_cloud_init_formats() -> Vec<Row> {
    vec![
        row(
            "`#cloud-config-archive`",
            "#cloud-config-archive\n[]\n",
            "passed over: #cloud-config-archive",
            "taken as text/cloud-config-archive",
        ),
        row(
            "`#cloud-config-jsonp`",
            "#cloud-config-jsonp\n[]\n",
            "passed over: #cloud-config-jsonp",
            "taken as text/cloud-config-jsonp",
        ),
        row(
            "`#cloud-boothook`",
            "#cloud-boothook\n#!/bin/sh\n",
            "passed over: #cloud-boothook",
            "taken as text/cloud-boothook",
        ),
        row(
            "`#include`",
            "#include\nhttp://example.com/\n",
            "passed over: #include",
            "taken as text/x-include-url",
        ),
        row(
            "`#include-once`",
            "#include-once\nhttp://example.com/\n",
            "passed over: #include-once",
            "taken as text/x-include-url",
        ),
        row("`#part-handler`", "#part-handler\n", "passed over: #part-handler", "taken as text/part-handler"),
        row(
            "`## template: jinja`",
            "## template: jinja\n#!/bin/sh\n",
            "passed over: ## template: jinja",
            "taken as text/jinja2",
        ),
        row("`##template:jinja`", "##template:jinja\n#!/bin/sh\n", NEITHER, "ignored"),
        row("`#upstart-job`, which cloud-init had once", "#upstart-job\n", NEITHER, "ignored"),
    ]
}

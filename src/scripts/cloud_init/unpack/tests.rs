//! Tests: what values and parts are recognized as, and the limit on the unpacked size.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("finished")
}

fn script(body: &'static str) -> ItemContent {
    ItemContent::Script(ScriptKind::Setup, body.into())
}

fn foreign(name: &'static str) -> ItemContent {
    ItemContent::NeedsCloudInit(name)
}

fn item(name: Option<&str>, content: ItemContent) -> UnpackedItem {
    UnpackedItem { name: name.map(str::to_owned), first_rules_version: FIRST_RULES_VERSION, content }
}

fn wrong(form: WrongForm) -> ItemContent {
    ItemContent::Unusable(UnpackError::Form(form))
}

#[test]
fn value_is_recognized_by_its_beginning() {
    for (value, expected) in [
        (&b"#!/bin/sh\n"[..], script("#!/bin/sh\n")),
        (&zipped(b"#!/bin/sh\n"), script("#!/bin/sh\n")),
        (b"#cloud-config\nusers: []\n", foreign("#cloud-config")),
        (&zipped(b"#cloud-config\n"), foreign("#cloud-config")),
        (b"\n#cloud-config-archive\n", foreign("#cloud-config-archive")),
        (b"#include-once\nhttp://x\n", foreign("#include-once")),
        (b"#include\nhttp://x\n", foreign("#include")),
        (b"#cloud-boothook\n#!/bin/sh\n", foreign("#cloud-boothook")),
        (b"## template: jinja\n#!/bin/sh\n", foreign("## template: jinja")),
        (b"#Cloud-Config\n", foreign("#cloud-config")),
        ("\u{a0}\x1c\x0b#INCLUDE\n".as_bytes(), foreign("#include")),
        (b"hello\n", wrong(WrongForm::Unknown)),
        (b"#upstart-job\n", wrong(WrongForm::Unknown)),
        (b"\n#!/bin/sh\n", wrong(WrongForm::WhiteSpaceInFront)),
        (b"\xef\xbb\xbf#cloud-config\n", wrong(WrongForm::ByteOrderMark)),
        (b"\xff\xfe#\0!\0", wrong(WrongForm::Utf16)),
        (b"IyEvYmluL3NoCmVjaG8K", wrong(WrongForm::Base64)),
        (b"H4sIAAAAAAAAA1NW1E/KzNMvzuBKTc7IBwBhpHJ3DwAAAA==\n", wrong(WrongForm::Base64OfGzip)),
        (b"@setup.sh\n", wrong(WrongForm::FileName)),
        (&zipped(&zipped(b"#!/bin/sh\n")), wrong(WrongForm::Gzip)),
        (
            b"\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\n#!/bin/sh\n--x--\n",
            ItemContent::Unusable(UnpackError::BeforeMessage),
        ),
        (&zipped(b"hello"), wrong(WrongForm::Unknown)),
        (b"\x1f\x8b\x08nonsense", ItemContent::Unusable(UnpackError::Gzip)),
        (&zipped(b"#!/bin/sh\n")[..20], ItemContent::Unusable(UnpackError::Gzip)),
        (
            b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\n#!/bin/sh\n",
            ItemContent::Unusable(UnpackError::Mime(MimeError::CutOff)),
        ),
    ] {
        let text = String::from_utf8_lossy(value);
        assert_eq!(unpack(value), [item(None, expected)], "{text}");
    }
    assert_eq!(unpack(b""), []);
    assert_eq!(unpack(b" \n"), []);
}

#[test]
fn scripts_of_a_message_have_order_and_unique_names() {
    let parts = [
        "Content-Type: text/x-shellscript; name=web.sh\n\n#!/bin/sh\n",
        "Content-Type: text/cloud-config; name=/root/web.sh\n\nusers: []",
        "Content-Type: text/x-shellscript; name=\"../etc/x y\"\n\nno first line",
        "\n#!/bin/sh",
        "Content-Type: text/x-shellscript-per-boot; name=part-001\n\n#!/bin/sh",
        "Content-Type: text/cloud-boothook\n\n#!/bin/sh",
        "Content-Transfer-Encoding: base64\n\n?",
        "Content-Type: x/hunter2; name=token=hunter2\n\nx",
        "\n#cloud-config",
    ];
    let text = format!(
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n{}\n--x--\n",
        parts.join("\n--x\n")
    );
    let broken = ItemContent::Unusable(UnpackError::Mime(MimeError::Base64));
    let expected = [
        ("web.sh", script("#!/bin/sh\n")),
        ("part-002", foreign("text/cloud-config")),
        ("part-003", script("no first line")),
        ("part-004", script("#!/bin/sh")),
        ("part-005", ItemContent::Script(ScriptKind::Startup, "#!/bin/sh".into())),
        ("part-006", foreign("text/cloud-boothook")),
        ("part-007", broken),
        ("part-008", ItemContent::Unusable(UnpackError::Type)),
        ("part-009", foreign("#cloud-config")),
    ]
    .map(|(name, content)| item(Some(name), content));
    assert_eq!(unpack(text.as_bytes()), expected);
    assert_eq!(unpack(&zipped(text.as_bytes())), expected);
}

#[test]
fn content_type_decides_what_a_part_is() {
    let per_boot = || ItemContent::Script(ScriptKind::Startup, "hello".into());
    let packed = |level: usize| (0..level).fold(b"#!/bin/sh\n".to_vec(), |bytes, _| zipped(&bytes));
    let (once, twice) = (packed(1), packed(2));
    let first = |content| (FIRST_RULES_VERSION, content);
    for (declared, body, expected) in [
        ("text/x-shellscript", &b"hello"[..], Some(first(script("hello")))),
        ("text/x-shellscript", b"", Some(first(script("")))),
        ("text/x-shellscript", b"#cloud-config\n", Some(first(foreign("#cloud-config")))),
        ("text/x-shellscript-per-boot", b"hello", Some(first(per_boot()))),
        ("text/x-shellscript-per-once", b"hello", Some(first(script("hello")))),
        ("text/x-shellscript-per-instance", b"hello", Some(first(script("hello")))),
        ("text/plain", b"hello", Some(first(wrong(WrongForm::Unknown)))),
        ("text/plain", b"@x", Some(first(wrong(WrongForm::FileName)))),
        ("text/plain", b" ", None),
        ("text/plain", &twice, Some(first(wrong(WrongForm::Gzip)))),
        ("text/cloud-config", b"#!/bin/sh\n", Some(first(foreign("text/cloud-config")))),
        ("text/upstart-job", b"x", Some(first(ItemContent::Unusable(UnpackError::Type)))),
        ("text/x-hunter2", b"#!/bin/sh\n", Some(first(ItemContent::Unusable(UnpackError::Type)))),
        ("text/x-hunter2", b"", None),
        ("message/rfc822", b"\n#!/bin/sh\n", Some(first(ItemContent::Unusable(UnpackError::Message)))),
        ("application/octet-stream", b"#!/bin/sh\n", Some(first(script("#!/bin/sh\n")))),
        (
            "application/octet-stream",
            b"#cloud-config\n",
            Some(first(ItemContent::Unusable(UnpackError::Type))),
        ),
        ("application/gzip", &once, Some(first(script("#!/bin/sh\n")))),
        ("application/gzip", b"#!/bin/sh\n", Some(first(ItemContent::Unusable(UnpackError::NotGzip)))),
        // The first rules did not run these (invariant S4).
        ("application/x-gunzip", &once, Some((RULES_VERSION, script("#!/bin/sh\n")))),
        ("hunter2", b"#!/bin/sh\n", Some((RULES_VERSION, script("#!/bin/sh\n")))),
    ] {
        let head = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=xyzzy\n\n--xyzzy\n";
        let head = format!("{head}Content-Type: {declared}\nContent-Transfer-Encoding: binary\n\n");
        let items = unpack(&[head.as_bytes(), body, b"\n--xyzzy--\n"].concat());
        let seen = items.into_iter().next().map(|item| (item.first_rules_version, item.content));
        assert_eq!(seen, expected, "{declared}: {}", String::from_utf8_lossy(body));
    }
}

#[test]
fn s1_empty_part_uses_its_name() {
    let parts = ["text/plain; name=a\n\n", "text/plain; name=a\n\n#!/bin/sh\n"];
    let parts = parts.map(|part| format!("--x\nContent-Type: {part}\n")).concat();
    let text = format!("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n{parts}--x--\n");
    assert_eq!(unpack(text.as_bytes()), [item(Some("part-002"), script("#!/bin/sh\n"))]);
}

#[test]
fn gzip_bomb_is_not_unpacked() {
    let bomb = zipped(&vec![b'\n'; 17 << 20]);
    assert!(bomb.len() < 128 * 1024, "{}", bomb.len());
    let too_large = |name| item(name, ItemContent::Unusable(UnpackError::TooLarge));
    assert_eq!(unpack(&bomb), [too_large(None)]);
    let mut message = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=xyzzy\n\n".to_vec();
    let part = [b"--xyzzy\nContent-Transfer-Encoding: binary\n\n", &zipped(&vec![b'x'; 9 << 20])[..], b"\n"]
        .concat();
    message.extend([&part[..], &part, b"--xyzzy--\n"].concat());
    assert_eq!(unpack(&message)[1], too_large(Some("part-002")), "all parts share one limit");
}

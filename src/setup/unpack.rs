//! What the value of the key `cloud-init` holds, where cloud-init is not there to take it: scripts, and kinds that only cloud-init
//! understands, which are told by name and not run. Pure, and bounded.
//!
//! What a value is, is told as cloud-init tells it: by what it begins with, and in a MIME message by the type that a part says it has.

use std::fmt;

use hyper::body::Bytes;

use super::gzip;
use super::multipart::{self, MimeError, Part};
use super::script::ScriptKind;

/// Unpacked bytes in all: a small value can grow to a thousand times its size.
const LARGEST: usize = 16 * 1024 * 1024;

/// How values begin that only cloud-init understands; the longer names first.
const FOREIGN: [&str; 9] = [
    "#cloud-config-archive",
    "#cloud-config-jsonp",
    "#cloud-config",
    "#cloud-boothook",
    "#include-once",
    "#include",
    "#part-handler",
    "#upstart-job",
    "## template: jinja",
];

/// Types of a MIME part that only cloud-init understands. What else a part declares is not for a message (invariant S3).
const FOREIGN_TYPES: [&str; 9] = [
    "text/cloud-config",
    "text/cloud-config-archive",
    "text/cloud-config-jsonp",
    "text/cloud-boothook",
    "text/x-include-url",
    "text/x-include-once-url",
    "text/jinja2",
    "text/part-handler",
    "text/upstart-job",
];

/// Something that a value of `cloud-init` holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    /// Its own name behind `cloud-init.`: the file name of a part or its number; none where the value is this and nothing else.
    pub name: Option<String>,
    /// What it is.
    pub content: Content,
}

/// What a part is.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// A script, to be run as scripts of this kind are.
    Script(ScriptKind, Bytes),
    /// What only cloud-init understands, by the name that it has there.
    Foreign(&'static str),
    /// It cannot be read.
    Broken(UnpackError),
}

/// Why a value cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnpackError {
    /// It begins like gzip, and is not, or not whole.
    Gzip,
    /// It becomes larger than anything that is run here.
    TooLarge,
    /// It is no MIME message, or no whole one.
    Mime(MimeError),
}

/// Whether a value is of a kind that only this key has: packed, a message, or for cloud-init alone.
pub(super) fn is_for_cloud_init(value: &[u8]) -> bool {
    value.starts_with(gzip::MAGIC) || multipart::is_message(value) || foreign(value).is_some()
}

fn foreign(value: &[u8]) -> Option<&'static str> {
    let begin = value.trim_ascii_start();
    FOREIGN.into_iter().find(|known| begin.starts_with(known.as_bytes()))
}

/// Takes a value apart; an empty one holds nothing.
pub fn unpack(value: &[u8]) -> Vec<Item> {
    let mut room = LARGEST;
    let whole = |content| vec![Item { name: None, content }];
    let value = match unzipped(value, &mut room) {
        Ok(value) => value,
        Err(why) => return whole(Content::Broken(why)),
    };
    if value.trim_ascii().is_empty() {
        return Vec::new();
    }
    if !multipart::is_message(&value) {
        return whole(content("text/plain", value));
    }
    let parts = match multipart::split(&value) {
        Ok(parts) => parts,
        Err(why) => return whole(Content::Broken(UnpackError::Mime(why))),
    };
    let mut items: Vec<Item> = Vec::new();
    for (number, part) in (1..).zip(parts) {
        let free = |name: &String| items.iter().all(|item| item.name.as_ref() != Some(name));
        let name = part.name.as_deref().and_then(own_name).filter(free);
        let name = name.unwrap_or_else(|| format!("part-{number:03}"));
        items.push(Item { name: Some(name), content: of_part(part, &mut room) });
    }
    items
}

/// What is used of a file name, which may be a whole path: it becomes part of a name in records and logs, and others see it like a user data
/// key. One that looks like a number of ours is numbered anew.
fn own_name(path: &str) -> Option<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-+@".contains(c);
    let name = path.rsplit(['/', '\\']).next().filter(|name| !name.is_empty() && name.chars().all(good))?;
    (name.len() <= 100 && !name.starts_with("part-")).then(|| name.to_owned())
}

fn of_part(part: Part, room: &mut usize) -> Content {
    let body = part.body.map_err(UnpackError::Mime).and_then(|body| unzipped(&body, room));
    match body {
        Ok(body) => content(&part.content_type, body),
        Err(why) => Content::Broken(why),
    }
}

/// The type that was declared counts; where it says nothing, what the bytes begin with.
fn content(declared: &str, body: Vec<u8>) -> Content {
    let declared_kind = match declared {
        "text/x-shellscript" | "text/x-shellscript-per-instance" | "text/x-shellscript-per-once" => {
            Some(ScriptKind::Setup)
        }
        "text/x-shellscript-per-boot" => Some(ScriptKind::Startup),
        "text/plain"
        | "text/x-not-multipart"
        | "application/octet-stream"
        | "application/gzip"
        | "application/x-gzip" => body.starts_with(b"#!").then_some(ScriptKind::Setup),
        other => {
            let known = FOREIGN_TYPES.into_iter().find(|known| *known == other);
            return Content::Foreign(known.unwrap_or("a part of an unknown type"));
        }
    };
    if let Some(kind) = declared_kind {
        return Content::Script(kind, body.into());
    }
    Content::Foreign(foreign(&body).unwrap_or("text that is no script"))
}

fn unzipped(bytes: &[u8], room: &mut usize) -> Result<Vec<u8>, UnpackError> {
    let packed = bytes.starts_with(gzip::MAGIC);
    let unzipped = if packed { gzip::unzipped(bytes, *room)? } else { bytes.to_vec() };
    *room = room.checked_sub(unzipped.len()).ok_or(UnpackError::TooLarge)?;
    Ok(unzipped)
}

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gzip => f.write_str("it begins like gzip, and is damaged or was cut off"),
            Self::TooLarge => write!(f, "it is larger than {} MiB when it is unpacked", LARGEST >> 20),
            Self::Mime(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for UnpackError {}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn zipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("written");
        encoder.finish().expect("finished")
    }

    fn script(body: &'static str) -> Content {
        Content::Script(ScriptKind::Setup, body.into())
    }

    fn foreign(name: &'static str) -> Content {
        Content::Foreign(name)
    }

    #[test]
    fn a_value_is_known_by_what_it_begins_with() {
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
            (b"hello\n", foreign("text that is no script")),
            (b"\x1f\x8b\x08nonsense", Content::Broken(UnpackError::Gzip)),
            (&zipped(b"#!/bin/sh\n")[..20], Content::Broken(UnpackError::Gzip)),
            (
                b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\n#!/bin/sh\n",
                Content::Broken(UnpackError::Mime(MimeError::CutOff)),
            ),
        ] {
            let text = String::from_utf8_lossy(value);
            assert_eq!(unpack(value), [Item { name: None, content: expected }], "{text}");
        }
        assert_eq!(unpack(b""), []);
        assert_eq!(unpack(b" \n"), []);
    }

    #[test]
    fn the_scripts_of_a_message_keep_their_order_and_have_names_of_their_own() {
        let parts = [
            "Content-Type: text/x-shellscript; name=web.sh\n\n#!/bin/sh\n",
            "Content-Type: text/cloud-config; name=/root/web.sh\n\nusers: []",
            "Content-Type: text/x-shellscript; name=\"../etc/x y\"\n\nno first line",
            "\n#!/bin/sh",
            "Content-Type: text/x-shellscript-per-boot; name=part-001\n\n#!/bin/sh",
            "Content-Type: text/cloud-boothook\n\n#!/bin/sh",
            "Content-Transfer-Encoding: base64\n\n?",
            "Content-Type: hunter2; name=token=hunter2\n\nx",
            "\n#cloud-config",
        ];
        let text = format!(
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n{}\n--x--\n",
            parts.join("\n--x\n")
        );
        let broken = Content::Broken(UnpackError::Mime(MimeError::Base64));
        let expected = [
            ("web.sh", script("#!/bin/sh\n")),
            ("part-002", foreign("text/cloud-config")),
            ("part-003", script("no first line")),
            ("part-004", script("#!/bin/sh")),
            ("part-005", Content::Script(ScriptKind::Startup, "#!/bin/sh".into())),
            ("part-006", foreign("text/cloud-boothook")),
            ("part-007", broken),
            ("part-008", foreign("a part of an unknown type")),
            ("part-009", foreign("#cloud-config")),
        ]
        .map(|(name, content)| Item { name: Some(name.to_owned()), content });
        assert_eq!(unpack(text.as_bytes()), expected);
        assert_eq!(unpack(&zipped(text.as_bytes())), expected);
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let bomb = zipped(&vec![b'\n'; 17 << 20]);
        assert!(bomb.len() < 128 * 1024, "{}", bomb.len());
        let too_large = |name: Option<&str>| Item {
            name: name.map(str::to_owned),
            content: Content::Broken(UnpackError::TooLarge),
        };
        assert_eq!(unpack(&bomb), [too_large(None)]);
        let mut message = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=xyzzy\n\n".to_vec();
        let part =
            [b"--xyzzy\nContent-Transfer-Encoding: binary\n\n", &zipped(&vec![b'\n'; 9 << 20])[..], b"\n"]
                .concat();
        message.extend([&part[..], &part, b"--xyzzy--\n"].concat());
        assert_eq!(unpack(&message)[1], too_large(Some("part-002")), "all parts share one bound");
    }
}

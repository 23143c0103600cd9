//! What the value of the key `cloud-init` holds, where cloud-init is not there to take it: scripts, and kinds that only cloud-init
//! understands, which are told by name and not run. Pure, and bounded.
//!
//! What a value is, is told as cloud-init tells it: by what it begins with, and in a MIME message by the type that a part says it has. What
//! is nothing that cloud-init knows is a fault with a name of its own, and never counts as a success (S5). docs/cloud-init.md compares the two.

use std::fmt;

use hyper::body::Bytes;

use crate::scripts::cloud_init::gzip::{self, GzipError};
use crate::scripts::cloud_init::multipart;
use crate::scripts::cloud_init::multipart::{MimeError, MimePart};
use crate::scripts::history::value_readings::{FIRST_READING, READING};
use crate::scripts::model::script::ScriptKind;
use crate::scripts::model::wrong_form::{GZIP_MAGIC, WrongForm, behind_white_space};

/// Unpacked bytes in all: a small value can grow to a thousand times its size.
const LARGEST: usize = 16 * 1024 * 1024;

/// How values begin that only cloud-init understands, in letters of either case; the longer names first.
const FOREIGN: [&str; 8] = [
    "#cloud-config-archive",
    "#cloud-config-jsonp",
    "#cloud-config",
    "#cloud-boothook",
    "#include-once",
    "#include",
    "#part-handler",
    "## template: jinja",
];

/// Types of a MIME part that only cloud-init understands. What else a part declares is not for a message (invariant S3).
const FOREIGN_TYPES: [&str; 8] = [
    "text/cloud-config",
    "text/cloud-config-archive",
    "text/cloud-config-jsonp",
    "text/cloud-boothook",
    "text/x-include-url",
    "text/x-include-once-url",
    "text/jinja2",
    "text/part-handler",
];

/// Types of a part that cloud-init unpacks; what is in it counts by its beginning. The first two were known to the first reading.
const GZIP_TYPES: [&str; 8] = [
    "application/gzip",
    "application/x-gzip",
    "application/gzip-compressed",
    "application/gzipped",
    "application/x-compress",
    "application/x-compressed",
    "application/x-gunzip",
    "application/x-gzip-compressed",
];

/// Something that a value of `cloud-init` holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    /// Its own name behind `cloud-init.`: the file name of a part or its number; none where the value is this and nothing else.
    pub name: Option<String>,
    /// Since which reading of values a script in it is run (see [`crate::scripts::history::value_readings`]).
    pub since: u32,
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
    /// It is nothing that could be run, here or by cloud-init.
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
    /// A message that does not begin at the first byte.
    BeforeMessage,
    /// A part that says gzip and is something else.
    NotGzip,
    /// A part that is a message, and no multipart.
    Message,
    /// A part of a type that cloud-init does not know either.
    Type,
    /// It is neither a script nor anything that cloud-init knows.
    Form(WrongForm),
}

/// Whether a value is of a kind that only this key has: packed, a message, or for cloud-init alone.
pub(crate) fn is_for_cloud_init(value: &[u8]) -> bool {
    value.starts_with(GZIP_MAGIC) || multipart::is_message(value) || foreign(value).is_some()
}

fn foreign(value: &[u8]) -> Option<&'static str> {
    let begin = behind_white_space(value);
    let is_it =
        |known: &&str| begin.get(..known.len()).is_some_and(|b| b.eq_ignore_ascii_case(known.as_bytes()));
    FOREIGN.into_iter().find(is_it)
}

/// Takes a value apart; an empty one holds nothing.
pub fn unpack(value: &[u8]) -> Vec<Item> {
    let mut room = LARGEST;
    let whole = |content| vec![Item { name: None, since: FIRST_READING, content }];
    let value = match unzipped(value, &mut room) {
        Ok(value) => value,
        Err(why) => return whole(Content::Broken(why)),
    };
    if !multipart::is_message(&value) {
        return content("text/plain", value).map(whole).unwrap_or_default();
    }
    let parts = match multipart::split(&value) {
        Ok(parts) => parts,
        Err(why) => return whole(Content::Broken(UnpackError::Mime(why))),
    };
    let (mut names, mut items) = (Vec::new(), Vec::new());
    for (number, part) in (1..).zip(parts) {
        let name = part.name.as_deref().and_then(own_name).filter(|name| !names.contains(name));
        let name = name.unwrap_or_else(|| format!("part-{number:03}"));
        // That of an empty part is taken as well: the names of the others do not depend on what it holds.
        names.push(name.clone());
        let since = since(&part.content_type);
        items.extend(of_part(part, &mut room).map(|content| Item { name: Some(name), since, content }));
    }
    items
}

/// Since which reading a script in a part of this type is run.
fn since(content_type: &str) -> u32 {
    let is_new = !is_type(content_type) || GZIP_TYPES[2..].contains(&content_type);
    if is_new { READING } else { FIRST_READING }
}

/// What is no type counts as `text/plain`.
fn is_type(content_type: &str) -> bool {
    content_type.bytes().filter(|byte| *byte == b'/').count() == 1
}

/// What is used of a file name, which may be a whole path: it becomes part of a name in records and logs, and others see it like a user data
/// key. One that looks like a number of ours is numbered anew.
fn own_name(path: &str) -> Option<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-+@".contains(c);
    let name = path.rsplit(['/', '\\']).next().filter(|name| !name.is_empty() && name.chars().all(good))?;
    (name.len() <= 100 && !name.starts_with("part-")).then(|| name.to_owned())
}

fn of_part(part: MimePart, room: &mut usize) -> Option<Content> {
    let is_gzip = GZIP_TYPES.contains(&&*part.content_type);
    let body = part.body.map_err(UnpackError::Mime).and_then(|body| {
        let is_packed = body.starts_with(GZIP_MAGIC);
        if is_gzip && !is_packed { Err(UnpackError::NotGzip) } else { unzipped(&body, room) }
    });
    match body {
        Ok(body) if is_gzip || !is_type(&part.content_type) => content("text/plain", body),
        Ok(body) => content(&part.content_type, body),
        Err(why) => Some(Content::Broken(why)),
    }
}

/// The type that was declared counts; where it says nothing, what the bytes begin with. Nothing where they are empty.
fn content(declared: &str, body: Vec<u8>) -> Option<Content> {
    let script = |kind, body: Vec<u8>| Some(Content::Script(kind, body.into()));
    let is_script = body.starts_with(b"#!");
    match declared {
        "text/x-shellscript-per-boot" => script(ScriptKind::Startup, body),
        "text/x-shellscript-per-instance" | "text/x-shellscript-per-once" => script(ScriptKind::Setup, body),
        // cloud-init does not know that type. Earlier versions of the agent ran it, and its first bytes leave no doubt.
        "application/octet-stream" if is_script => script(ScriptKind::Setup, body),
        "text/x-shellscript" | "text/plain" | "text/x-not-multipart" => match foreign(&body) {
            Some(name) => Some(Content::Foreign(name)),
            // What else is wrong with it is a script's fault.
            None if is_script || declared == "text/x-shellscript" => script(ScriptKind::Setup, body),
            None if body.trim_ascii().is_empty() => None,
            None if multipart::is_message(behind_white_space(&body)) => {
                Some(Content::Broken(UnpackError::BeforeMessage))
            }
            None => Some(Content::Broken(UnpackError::Form(WrongForm::of(&body)))),
        },
        other => match FOREIGN_TYPES.into_iter().find(|known| *known == other) {
            Some(name) => Some(Content::Foreign(name)),
            None if body.is_empty() => None,
            None if other.starts_with("message/") => Some(Content::Broken(UnpackError::Message)),
            None => Some(Content::Broken(UnpackError::Type)),
        },
    }
}

fn unzipped(bytes: &[u8], room: &mut usize) -> Result<Vec<u8>, UnpackError> {
    let packed = bytes.starts_with(GZIP_MAGIC);
    let unzipped = if packed { gzip::unpacked(bytes, *room)? } else { bytes.to_vec() };
    *room = room.checked_sub(unzipped.len()).ok_or(UnpackError::TooLarge)?;
    Ok(unzipped)
}

impl From<GzipError> for UnpackError {
    fn from(error: GzipError) -> Self {
        match error {
            GzipError::Damaged => Self::Gzip,
            GzipError::TooLarge => Self::TooLarge,
        }
    }
}

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gzip => f.write_str("it begins like gzip, and is damaged or was cut off"),
            Self::TooLarge => write!(f, "it is larger than {} MiB when it is unpacked", LARGEST >> 20),
            Self::Mime(why) => why.fmt(f),
            Self::BeforeMessage => {
                f.write_str("the MIME message has white space or an empty line in front: remove that")
            }
            Self::NotGzip => f.write_str("the part says that it is gzip, and is not"),
            Self::Message => {
                f.write_str("the part is a message of its own: put its parts into the message around it")
            }
            Self::Type => f.write_str("the part's Content-Type is none that cloud-init knows"),
            Self::Form(WrongForm::Gzip) => f.write_str("the value is gzip within gzip: pack it once"),
            Self::Form(WrongForm::Unknown) => {
                f.write_str("the value is neither a script nor anything that cloud-init knows")
            }
            Self::Form(form) => form.fmt(f),
        }
    }
}

impl std::error::Error for UnpackError {}

#[cfg(test)]
mod tests;

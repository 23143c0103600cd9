//! Reads the value of the key `cloud-init` on an Instance where cloud-init is not active: scripts, and content that only
//! cloud-init understands. The agent reports the type of such content and does not run it. Pure, with limits on the size.
//!
//! The rules are those of cloud-init: the beginning of a value decides what it is and, in a MIME message, the content type of
//! each part. Content that cloud-init does not know either is an error with its own message, and never a success
//! (invariant S5). docs/reference/cloud-init.md compares the agent with cloud-init.

use std::fmt;

use hyper::body::Bytes;
use thiserror::Error;

use crate::scripts::cloud_init::gzip::{self, GzipError};
use crate::scripts::cloud_init::multipart::{self, MimeError, MimePart};
use crate::scripts::history::value_rules::{FIRST_RULES_VERSION, RULES_VERSION};
use crate::scripts::model::script::ScriptKind;
use crate::scripts::model::wrong_form::{GZIP_MAGIC, WrongForm, skip_white_space};

/// The maximum size of all unpacked data of a value, in bytes. A small value can unpack to a thousand times its size.
const MAX_UNPACKED_BYTES: usize = 16 * 1024 * 1024;
/// The maximum length of a part's name, in bytes.
const MAX_NAME_LEN: usize = 100;

/// Beginnings of the values that only cloud-init understands, in upper or lower case. Longer beginnings come first.
const CLOUD_INIT_BEGINNINGS: [&str; 8] = [
    "#cloud-config-archive",
    "#cloud-config-jsonp",
    "#cloud-config",
    "#cloud-boothook",
    "#include-once",
    "#include",
    "#part-handler",
    "## template: jinja",
];

/// Content types that only cloud-init understands. A message contains no other content type (invariant S3).
const CLOUD_INIT_TYPES: [&str; 8] = [
    "text/cloud-config",
    "text/cloud-config-archive",
    "text/cloud-config-jsonp",
    "text/cloud-boothook",
    "text/x-include-url",
    "text/x-include-once-url",
    "text/jinja2",
    "text/part-handler",
];

/// Content types of a part that cloud-init unpacks; the beginning of the unpacked data decides what it is. The first rules
/// knew the first two types.
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

/// One piece of content in a value of the key `cloud-init`.
#[derive(Debug, PartialEq, Eq)]
pub struct UnpackedItem {
    /// Its name after `cloud-init.`: the file name or the number of a part. `None`: the value is not a MIME message.
    pub name: Option<String>,
    /// The first rules version that runs this script (see [`crate::scripts::history::value_rules`]).
    pub first_rules_version: u32,
    /// The content.
    pub content: ItemContent,
}

/// What a value or a part is.
#[derive(Debug, PartialEq, Eq)]
pub enum ItemContent {
    /// A script of this kind.
    Script(ScriptKind, Bytes),
    /// Content that only cloud-init understands, with its name in cloud-init.
    NeedsCloudInit(&'static str),
    /// Content that neither the agent nor cloud-init can use.
    Unusable(UnpackError),
}

/// Why a value or a part cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnpackError {
    /// It begins like gzip, and is damaged or incomplete.
    #[error("the gzip data are damaged or incomplete")]
    Gzip,
    /// The unpacked data are larger than the limit.
    #[error("it is larger than {} MiB when it is unpacked", MAX_UNPACKED_BYTES >> 20)]
    TooLarge,
    /// It is a wrong or incomplete MIME message or part.
    #[error(transparent)]
    Mime(MimeError),
    /// A MIME message with white space before it.
    #[error("the MIME message begins with white space or an empty line: remove it")]
    BeforeMessage,
    /// A part with the content type of gzip, and bytes that are not gzip.
    #[error("the part is declared as gzip, but it is not")]
    NotGzip,
    /// A part with a content type of `message/`.
    #[error("the part is itself a MIME message: move its parts to the outer message")]
    Message,
    /// A part with a content type that cloud-init does not know either.
    #[error("cloud-init does not support the part's Content-Type")]
    Type,
    /// It is neither a script nor anything that cloud-init knows.
    #[error(fmt = unknown_form)]
    Form(WrongForm),
}

fn unknown_form(form: &WrongForm, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match form {
        WrongForm::Gzip => f.write_str("the value is packed with gzip twice: pack it once"),
        WrongForm::Unknown => f.write_str("the value is neither a script nor a format of cloud-init"),
        form => fmt::Display::fmt(form, f),
    }
}

/// Whether only the key `cloud-init` can have this value: gzip, a MIME message, or content that only cloud-init understands.
pub(crate) fn is_only_for_cloud_init(value: &[u8]) -> bool {
    value.starts_with(GZIP_MAGIC) || multipart::is_message(value) || cloud_init_name(value).is_some()
}

/// The name of content that only cloud-init understands.
fn cloud_init_name(value: &[u8]) -> Option<&'static str> {
    let begin = skip_white_space(value);
    let is_begin =
        |known: &&str| begin.get(..known.len()).is_some_and(|b| b.eq_ignore_ascii_case(known.as_bytes()));
    CLOUD_INIT_BEGINNINGS.into_iter().find(is_begin)
}

/// The content of a value, in its order. An empty value has none.
pub fn unpack(value: &[u8]) -> Vec<UnpackedItem> {
    let mut remaining = MAX_UNPACKED_BYTES;
    let single =
        |content| vec![UnpackedItem { name: None, first_rules_version: FIRST_RULES_VERSION, content }];
    let value = match unzipped(value, &mut remaining) {
        Ok(value) => value,
        Err(why) => return single(ItemContent::Unusable(why)),
    };
    if !multipart::is_message(&value) {
        return content("text/plain", value).map(single).unwrap_or_default();
    }
    let parts = match multipart::split(&value) {
        Ok(parts) => parts,
        Err(why) => return single(ItemContent::Unusable(UnpackError::Mime(why))),
    };
    let (mut names, mut items) = (Vec::new(), Vec::new());
    for (number, part) in (1..).zip(parts) {
        let name = part.name.as_deref().and_then(usable_name).filter(|name| !names.contains(name));
        let name = name.unwrap_or_else(|| format!("part-{number:03}"));
        // An empty part also uses its name, so the names of the other parts do not depend on its content.
        names.push(name.clone());
        let first_rules_version = first_rules_version_of(&part.content_type);
        items.extend(part_content(part, &mut remaining).map(|content| UnpackedItem {
            name: Some(name),
            first_rules_version,
            content,
        }));
    }
    items
}

/// The first rules version that runs a script in a part of this content type.
fn first_rules_version_of(content_type: &str) -> u32 {
    let is_new = !is_type(content_type) || GZIP_TYPES[2..].contains(&content_type);
    if is_new { RULES_VERSION } else { FIRST_RULES_VERSION }
}

/// Whether this is a content type. If it is not, the part is read as `text/plain`.
fn is_type(content_type: &str) -> bool {
    content_type.bytes().filter(|byte| *byte == b'/').count() == 1
}

/// The last component of a part's file name, which may be a complete path. It becomes part of a name in records and logs, and
/// other users see it like a user data key. `None`: it has other characters, is too long, or looks like the number of a part.
fn usable_name(path: &str) -> Option<String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._-+@".contains(c);
    let name =
        path.rsplit(['/', '\\']).next().filter(|name| !name.is_empty() && name.chars().all(is_allowed))?;
    (name.len() <= MAX_NAME_LEN && !name.starts_with("part-")).then(|| name.to_owned())
}

/// The content of a part. `None`: the part is empty. `remaining`: how many bytes may still be unpacked.
fn part_content(part: MimePart, remaining: &mut usize) -> Option<ItemContent> {
    let is_gzip = GZIP_TYPES.contains(&&*part.content_type);
    let body = part.body.map_err(UnpackError::Mime).and_then(|body| {
        let is_packed = body.starts_with(GZIP_MAGIC);
        if is_gzip && !is_packed { Err(UnpackError::NotGzip) } else { unzipped(&body, remaining) }
    });
    match body {
        Ok(body) if is_gzip || !is_type(&part.content_type) => content("text/plain", body),
        Ok(body) => content(&part.content_type, body),
        Err(why) => Some(ItemContent::Unusable(why)),
    }
}

/// What a value or part is: by its declared content type or, for a type that says nothing, by the beginning of its bytes.
/// `None`: it is empty.
fn content(declared: &str, body: Vec<u8>) -> Option<ItemContent> {
    let script = |kind, body: Vec<u8>| Some(ItemContent::Script(kind, body.into()));
    let is_script = body.starts_with(b"#!");
    match declared {
        "text/x-shellscript-per-boot" => script(ScriptKind::Startup, body),
        "text/x-shellscript-per-instance" | "text/x-shellscript-per-once" => script(ScriptKind::Setup, body),
        // cloud-init does not know this type. Earlier versions of the agent ran such a script, and its first bytes are clear.
        "application/octet-stream" if is_script => script(ScriptKind::Setup, body),
        "text/x-shellscript" | "text/plain" | "text/x-not-multipart" => match cloud_init_name(&body) {
            Some(name) => Some(ItemContent::NeedsCloudInit(name)),
            // Other errors are found when the script is checked.
            None if is_script || declared == "text/x-shellscript" => script(ScriptKind::Setup, body),
            None if body.trim_ascii().is_empty() => None,
            None if multipart::is_message(skip_white_space(&body)) => {
                Some(ItemContent::Unusable(UnpackError::BeforeMessage))
            }
            None => Some(ItemContent::Unusable(UnpackError::Form(WrongForm::of(&body)))),
        },
        other => match CLOUD_INIT_TYPES.into_iter().find(|known| *known == other) {
            Some(name) => Some(ItemContent::NeedsCloudInit(name)),
            None if body.is_empty() => None,
            None if other.starts_with("message/") => Some(ItemContent::Unusable(UnpackError::Message)),
            None => Some(ItemContent::Unusable(UnpackError::Type)),
        },
    }
}

/// The bytes, unpacked if they are gzip. `remaining`: how many bytes may still be unpacked.
fn unzipped(bytes: &[u8], remaining: &mut usize) -> Result<Vec<u8>, UnpackError> {
    let packed = bytes.starts_with(GZIP_MAGIC);
    let unzipped = if packed { gzip::unpacked(bytes, *remaining)? } else { bytes.to_vec() };
    *remaining = remaining.checked_sub(unzipped.len()).ok_or(UnpackError::TooLarge)?;
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

#[cfg(test)]
mod tests;

//! `scw-server-tags`: the tags of the Instance, from the JSON form of the metadata, in which a tag's text is unambiguous.
//!
//! "No such tag" is exit status 1, as in the original. So a failure is another one.

use crate::command::exit::Exit;
use crate::command::grammar::Program;
use crate::command::guest::arguments::Parsed;
use crate::command::guest::asking::ask_then;
use crate::command::process::print_bytes;
use crate::metadata::api::response::Ask;

pub(super) fn server_tags(program: &'static Program, parsed: Parsed) -> Exit {
    ask_then(
        program,
        Exit::Unreachable,
        async |api| api.owner_data().await,
        |owner| match &parsed.operand {
            None => {
                let lines: String = owner.tags.iter().map(|tag| format!("{tag}\n")).collect();
                if lines.is_empty() { Exit::Success } else { print_bytes(program, lines.as_bytes()) }
            }
            Some(name) => match value(&owner.tags, name) {
                Some(value) => print_bytes(program, format!("{value}\n").as_bytes()),
                None => print_bytes(program, b"0\n").or(Exit::Failure),
            },
        },
    )
}

/// The value of the tag with this name, or of the first one that begins with it; `1` for a tag without a value.
fn value<'a>(tags: &'a [String], name: &str) -> Option<&'a str> {
    let named = |tag: &&String| tag.split('=').next() == Some(name) || **tag == name;
    let tag = tags.iter().find(named).or_else(|| tags.iter().find(|tag| tag.starts_with(name)))?;
    Some(tag.split_once('=').map_or("1", |(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_of_a_tag_is_what_follows_its_first_equals_sign() {
        let tags = ["webserver", "web", "role=db=main", "rolex=1", "token:x=s", "empty="].map(str::to_owned);
        for (name, expected) in [
            ("web", Some("1")),
            ("role", Some("db=main")),
            ("role=db=main", Some("db=main")),
            ("rol", Some("db=main")),
            ("token", Some("s")),
            ("empty", Some("")),
            ("none", None),
            ("", Some("1")),
        ] {
            assert_eq!(value(&tags, name), expected, "{name}");
        }
        assert_eq!(value(&[], "x"), None);
    }
}

//! What is wrong with a command line, in words that quote nothing of it (invariant S3). An argument may be a value and so a secret: a value
//! that begins with `-`, a PEM key, a script's text in place of its file's name, the arguments of scw-userdata given to scw-agent.

use lexopt::{Arg, Error, Parser};

use super::help::{Opt, Program};
use crate::nearest::nearest;

/// What the parser of options found wrong. Its own message quotes the argument.
pub(super) fn unparsed(program: &Program, why: &Error) -> String {
    let known = |given: &str| {
        let is_meant = |option: &&Opt| match given.strip_prefix("--") {
            Some(long) => option.long == long,
            None => option
                .short
                .is_some_and(|short| given.strip_prefix('-') == Some(short.encode_utf8(&mut [0; 4]))),
        };
        program.options.iter().find(is_meant).map(|option| option.long)
    };
    match why {
        Error::MissingValue { option } => match option.as_deref().and_then(known) {
            Some(long) => format!("--{long} needs a value"),
            None => "an option needs a value".to_owned(),
        },
        Error::UnexpectedValue { option, .. } => match known(option) {
            Some(long) => format!("--{long} takes no value"),
            None => unknown(program, None),
        },
        _ => "the arguments cannot be parsed".to_owned(),
    }
}

/// An option that the program does not have.
pub(super) fn unknown_option(program: &Program, option: &Arg<'_>) -> String {
    let near = match option {
        Arg::Long(name) => nearest(name, program.options.iter().map(|option| option.long)),
        _ => None,
    };
    unknown(program, near)
}

fn unknown(program: &Program, near: Option<&str>) -> String {
    let near = near.map(|near| format!("; did you mean --{near}?")).unwrap_or_default();
    // A program that takes values is the one that may be given such a value.
    let value = program.uses.iter().any(|(form, _)| form.contains("VALUE"));
    let hint = if value { "; write `--` in front of a value that begins with `-`" } else { "" };
    format!("unknown option{near}{hint}")
}

/// Sees that `-h` or `-V` does not begin a longer word, which is none of these options: `-hunter2`.
pub(super) fn is_whole(program: &Program, parser: &mut Parser) -> Result<(), String> {
    parser.optional_value().map_or(Ok(()), |_| Err(unknown(program, None)))
}

/// Words that are no command.
pub(super) fn unknown_command(program: &'static Program, given: &[&str]) -> String {
    let Some(begin) = given.first() else { return "no command given".to_owned() };
    let first = |form: &'static str| form.split(' ').next().unwrap_or_default();
    let forms = || program.uses.iter().map(|(form, _)| *form);
    let same: Vec<_> = forms().filter(|form| first(form) == *begin).map(|form| format!("`{form}`")).collect();
    if !same.is_empty() {
        return format!("wrong arguments; possible are {}", same.join(", "));
    }
    match nearest(begin, forms().map(first)) {
        Some(near) => format!("unknown command; did you mean `{near}`?"),
        None => "unknown command".to_owned(),
    }
}

//! What is wrong with a command line, in words that quote nothing of it (invariant S3). An argument may be a value and so a secret: a value
//! that begins with `-`, a PEM key, a script's text in place of its file's name, the arguments of scw-userdata given to scw-agent.

use lexopt::{Arg, Error, Parser};

use crate::command::help::{Opt, Program};
use crate::command::usage::begins;
use crate::util::suggest::nearest;

/// What the parser of options found wrong. Its own message quotes the argument.
pub(crate) fn unparsed(program: &Program, why: &Error) -> String {
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
pub(crate) fn unknown_option(program: &Program, option: &Arg<'_>) -> String {
    let near = match option {
        Arg::Long(name) => nearest(name, program.options.iter().map(|option| option.long)),
        _ => None,
    };
    unknown(program, near)
}

fn unknown(program: &Program, near: Option<&str>) -> String {
    let near = near.map(|near| format!("; did you mean --{near}?")).unwrap_or_default();
    // A program without commands is the one whose first word may begin like that.
    let key = program.uses.iter().any(|(form, _)| *form == "KEY");
    let hint = if key { "; `--` stands in front of a key that begins with `-`" } else { "" };
    format!("unknown option{near}{hint}")
}

/// Sees that `-h` or `-V` does not begin a longer word, which is none of these options: `-hunter2`.
pub(crate) fn is_whole(program: &Program, parser: &mut Parser) -> Result<(), String> {
    parser.optional_value().map_or(Ok(()), |_| Err(unknown(program, None)))
}

/// Words of which no command begins. Those that are right are named by the help's own words.
pub(crate) fn unknown_command(program: &'static Program, given: &[&str]) -> String {
    let Some(last) = given.len().checked_sub(1) else { return "no command given".to_owned() };
    let mut right = 0;
    while right < last && program.has(&given[..=right]) {
        right += 1;
    }
    let (mut possible, mut next, mut begin) = (String::new(), Vec::new(), String::new());
    for (form, _) in program.uses.iter().filter(|(form, _)| begins(form, &given[..right])) {
        possible.push_str(if possible.is_empty() { "" } else { ", " });
        possible.push_str(&format!("`{form}`"));
        let mut parts = form.split(' ');
        begin = parts.by_ref().take(right).fold(String::new(), |begin, part| begin + part + " ");
        // What stands for something is no word to be meant.
        next.extend(parts.next().filter(|part| !part.bytes().any(|byte| byte.is_ascii_uppercase())));
    }
    match nearest(given[right], next) {
        Some(near) => format!("unknown command; did you mean `{begin}{near}`?"),
        None if right == 0 => "unknown command".to_owned(),
        None => format!("wrong arguments; possible are {possible}"),
    }
}

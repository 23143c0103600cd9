//! The error messages for a wrong command line. They quote no argument (invariant S3), because an argument
//! may be a value and so a secret: a value that begins with `-`, a PEM key, a script's text instead of its
//! file's name, the arguments of scw-userdata given to scw-agent.

use lexopt::{Arg, Error, Parser};

use crate::command::help::{Opt, Program};
use crate::command::usage::begins;
use crate::util::suggest::nearest;

/// The message for an error of the option parser, whose own message quotes the argument.
pub(crate) fn parse_error(program: &Program, why: &Error) -> String {
    let find_option = |given: &str| {
        let is_meant = |option: &&Opt| match given.strip_prefix("--") {
            Some(long) => option.long == long,
            None => option
                .short
                .is_some_and(|short| given.strip_prefix('-') == Some(short.encode_utf8(&mut [0; 4]))),
        };
        program.options.iter().find(is_meant).map(|option| option.long)
    };
    match why {
        Error::MissingValue { option } => match option.as_deref().and_then(find_option) {
            Some(long) => format!("--{long} needs a value"),
            None => "an option needs a value".to_owned(),
        },
        Error::UnexpectedValue { option, .. } => match find_option(option) {
            Some(long) => format!("--{long} takes no value"),
            None => unknown(program, None),
        },
        _ => "the arguments cannot be parsed".to_owned(),
    }
}

/// The message for an option that the program does not have.
pub(crate) fn unknown_option(program: &Program, option: &Arg<'_>) -> String {
    let similar = match option {
        Arg::Long(name) => nearest(name, program.options.iter().map(|option| option.long)),
        _ => None,
    };
    unknown(program, similar)
}

fn unknown(program: &Program, similar: Option<&str>) -> String {
    let similar = similar.map(|similar| format!("; did you mean --{similar}?")).unwrap_or_default();
    // Only the program without commands accepts a first argument that begins with `-`.
    let key = program.uses.iter().any(|(form, _)| *form == "KEY");
    let hint = if key { "; `--` stands in front of a key that begins with `-`" } else { "" };
    format!("unknown option{similar}{hint}")
}

/// Checks that `-h` or `-V` is not the beginning of a longer word, which is none of these options:
/// `-hunter2`.
pub(crate) fn check_no_suffix(program: &Program, parser: &mut Parser) -> Result<(), String> {
    parser.optional_value().map_or(Ok(()), |_| Err(unknown(program, None)))
}

/// The message for words that no command begins with. Words that match are printed as the help has them.
pub(crate) fn unknown_command(program: &'static Program, arguments: &[&str]) -> String {
    let Some(last) = arguments.len().checked_sub(1) else { return "no command given".to_owned() };
    let mut matched = 0;
    while matched < last && program.has(&arguments[..=matched]) {
        matched += 1;
    }
    let (mut possible, mut next, mut beginning) = (String::new(), Vec::new(), String::new());
    for (form, _) in program.uses.iter().filter(|(form, _)| begins(form, &arguments[..matched])) {
        possible.push_str(if possible.is_empty() { "" } else { ", " });
        possible.push_str(&format!("`{form}`"));
        let mut parts = form.split(' ');
        beginning =
            parts.by_ref().take(matched).fold(String::new(), |beginning, part| beginning + part + " ");
        // A placeholder is never the intended word.
        next.extend(parts.next().filter(|part| !part.bytes().any(|byte| byte.is_ascii_uppercase())));
    }
    match nearest(arguments[matched], next) {
        Some(similar) => format!("unknown command; did you mean `{beginning}{similar}`?"),
        None if matched == 0 => "unknown command".to_owned(),
        None => format!("wrong arguments; possible are {possible}"),
    }
}

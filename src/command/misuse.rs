//! The error messages for a wrong command line. They quote no argument (invariant S3), because an argument
//! may be a value and so a secret: a value that begins with `-`, a PEM key, a script's text instead of its
//! file's name, the arguments of scw-userdata given to scw-agent.

use lexopt::{Arg, Error, Parser};

use crate::command::grammar::{Form, Opt, Program};
use crate::util::suggest::nearest;

/// The message for an error of the option parser, whose own message quotes the argument.
pub(crate) fn parse_error(program: &Program, why: &Error) -> String {
    let find_option = |given: &str| {
        let is_meant = |option: &&&Opt| {
            given.strip_prefix("--") == Some(option.long)
                || option.short.is_some_and(|letter| given == format!("-{letter}"))
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
            None => unknown_option_text(program, None),
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
    unknown_option_text(program, similar)
}

fn unknown_option_text(program: &Program, similar: Option<&str>) -> String {
    let suggestion = similar.map(|similar| format!("; did you mean --{similar}?")).unwrap_or_default();
    // Only the program without commands accepts a first argument that begins with `-`.
    let has_no_commands = program.forms.iter().all(|form| form.words.is_empty());
    let hint = if has_no_commands { "; write `--` before a key that begins with `-`" } else { "" };
    format!("unknown option{suggestion}{hint}")
}

/// Checks that `-h` or `-V` is not the beginning of a longer word, which is none of these options:
/// `-hunter2`.
pub(crate) fn check_no_suffix(program: &Program, parser: &mut Parser) -> Result<(), String> {
    parser.optional_value().map_or(Ok(()), |_| Err(unknown_option_text(program, None)))
}

/// The message for words that no command begins with. Words that match are printed as the table has them.
pub(crate) fn unknown_command(program: &Program, typed: &[&str]) -> String {
    let Some(last) = typed.len().checked_sub(1) else { return "no command given".to_owned() };
    let matched = (0..last).take_while(|at| program.forms_from(&typed[..=*at]).next().is_some()).count();
    let possible: Vec<_> = program.forms_from(&typed[..matched]).collect();
    let next_word = |form: &&Form| form.words.get(matched).copied();
    let similar = nearest(typed[matched], possible.iter().filter_map(next_word));
    match possible.iter().find(|form| similar.is_some() && next_word(form) == similar) {
        Some(form) => format!("unknown command; did you mean `{}`?", form.words[..=matched].join(" ")),
        None if matched == 0 => "unknown command".to_owned(),
        None => {
            let possible: Vec<_> = possible.iter().map(|form| format!("`{}`", form.text())).collect();
            format!("wrong arguments; possible are {}", possible.join(", "))
        }
    }
}

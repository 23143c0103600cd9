//! Parses the command line of a guest command by its table: options, and at most one operand. No error quotes an argument (invariant S3).

use lexopt::{Arg, Parser};

use crate::command::grammar::{Opt, Program};
use crate::command::help::{HELP, VERSION};
use crate::command::misuse;

/// A parsed command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) help: bool,
    pub(super) version: bool,
    pub(super) operand: Option<String>,
    given: Vec<&'static str>,
}

impl Parsed {
    pub(super) fn has(&self, option: &Opt) -> bool {
        self.given.contains(&option.long)
    }
}

/// Parses the arguments of this process.
pub(super) fn parse(program: &Program) -> Result<Parsed, String> {
    parse_from(program, Parser::from_env())
}

fn parse_from(program: &Program, mut parser: Parser) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    while let Some(argument) = parser.next().map_err(|why| misuse::parse_error(program, &why))? {
        let is = |option: &Opt| match &argument {
            Arg::Short(letter) => option.short == Some(*letter),
            Arg::Long(name) => option.long == *name,
            Arg::Value(_) => false,
        };
        if is(&HELP) || is(&VERSION) {
            let (help, version) = (is(&HELP), is(&VERSION));
            misuse::check_no_suffix(program, &mut parser)?;
            return Ok(Parsed { help, version, ..Parsed::default() });
        }
        match program.options.iter().find(|option| is(option)) {
            Some(option) => parsed.given.push(option.long),
            None => match argument {
                Arg::Value(word) if parsed.operand.is_none() => {
                    let word = word.into_string().map_err(|_| "an argument is not valid UTF-8".to_owned())?;
                    parsed.operand = Some(word);
                }
                Arg::Value(_) => return Err("too many arguments".to_owned()),
                other => return Err(misuse::unknown_option(program, &other)),
            },
        }
    }
    let operands = usize::from(parsed.operand.is_some());
    if program.forms.iter().any(|form| form.arguments.len() == operands) {
        return Ok(parsed);
    }
    Err(if operands == 0 { "an argument is missing" } else { "too many arguments" }.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::guest::programs::{CACHED, METADATA, METADATA_JSON, SIGNAL_STATE};

    #[test]
    fn command_lines_are_parsed_by_the_table() {
        let parse = |program, words: &[&str]| parse_from(program, Parser::from_args(words));
        for (words, cached, key) in [
            (&[][..], false, None),
            (&["ID"], false, Some("ID")),
            (&["--cached"], true, None),
            (&["--cached", "ID"], true, Some("ID")),
            (&["ID", "--cached"], true, Some("ID")),
            (&["--", "--cached"], false, Some("--cached")),
        ] {
            let parsed = parse(&METADATA, words).expect("parsed");
            assert_eq!((parsed.has(&CACHED), parsed.operand.as_deref()), (cached, key), "{words:?}");
        }
        assert!(parse(&METADATA, &["-h"]).is_ok_and(|parsed| parsed.help));
        assert!(parse(&METADATA, &["--cached", "--version"]).is_ok_and(|parsed| parsed.version));
        for (program, words, expected) in [
            (&METADATA, &["hunter2", "hunter2"][..], "too many arguments"),
            (&METADATA, &["--cached=hunter2"], "--cached takes no value"),
            (&METADATA, &["--cachet"], "did you mean --cached?"),
            (&METADATA, &["-hunter2"], "unknown option"),
            (&METADATA_JSON, &["hunter2"], "too many arguments"),
            (&METADATA_JSON, &["--cached"], "unknown option"),
            (&SIGNAL_STATE, &[], "an argument is missing"),
        ] {
            let why = parse(program, words).expect_err("refused");
            assert!(why.contains(expected) && !why.contains("unter2"), "{words:?}: {why}");
        }
    }
}

//! The grammar of a command line as types: a program has forms, a form has words, arguments and options. Pure.

use crate::command::exit::Exit;

/// One program.
pub struct Program {
    /// The program's name.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub about: &'static str,
    /// The forms of its command line.
    pub forms: &'static [Form],
    /// All its options, in the order of the help.
    pub options: &'static [&'static Opt],
    /// Further notes for the help, as lines of complete sentences.
    pub notes: &'static [&'static str],
    /// Its exit codes with their meanings.
    pub exit_codes: &'static [(Exit, &'static str)],
}

/// One form of a command line: `setup show KEY`.
pub struct Form {
    /// The words that the user types literally, which are the name of a command.
    pub words: &'static [&'static str],
    /// The arguments after these words.
    pub arguments: &'static [Argument],
    /// Its effect.
    pub effect: &'static str,
    /// The options that it accepts, apart from those that all forms of the program accept.
    pub options: &'static [&'static Opt],
}

/// An argument that a form requires.
pub enum Argument {
    /// Exactly one operand.
    One(Operand),
    /// One or more operands. Only the last argument of a form can be one of this kind.
    Several(Operand),
    /// An option, with its value if it takes one.
    Option(&'static Opt),
}

/// What the user puts in the place of an operand or of an option's value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    /// The words of a command.
    Command,
    /// The path of a file.
    File,
    /// The fingerprint of a key.
    Fingerprint,
    /// A user data key.
    Key,
    /// The name of a host or of a tag.
    Name,
    /// A state of the Instance.
    State,
    /// A duration.
    Time,
    /// A value of user data.
    Value,
}

/// One option.
pub struct Opt {
    /// Its letter, if it has one.
    pub short: Option<char>,
    /// Its name, without the dashes. No other option of the program has this name.
    pub long: &'static str,
    /// Its value, if it takes one.
    pub value: Option<Operand>,
    /// Its effect.
    pub effect: &'static str,
}

impl Operand {
    /// The placeholder in the help.
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Command => "COMMAND",
            Self::File => "FILE",
            Self::Fingerprint => "FINGERPRINT",
            Self::Key => "KEY",
            Self::Name => "NAME",
            Self::State => "STATE",
            Self::Time => "TIME",
            Self::Value => "VALUE",
        }
    }
}

impl Opt {
    /// The option with its long name: `--file FILE`.
    pub fn long_text(&self) -> String {
        let value = self.value.map(|value| format!(" {}", value.placeholder())).unwrap_or_default();
        format!("--{}{value}", self.long)
    }

    /// The option with both names: `-f, --file FILE`.
    pub fn text(&self) -> String {
        let short = self.short.map(|letter| format!("-{letter}, ")).unwrap_or_default();
        short + &self.long_text()
    }
}

impl Form {
    /// The words alone: `setup show`.
    pub fn command(&self) -> String {
        self.words.join(" ")
    }

    /// The complete form: `setup show KEY`.
    pub fn text(&self) -> String {
        let mut parts: Vec<String> = self.words.iter().map(|word| (*word).to_owned()).collect();
        parts.extend(self.arguments.iter().map(|argument| match argument {
            Argument::One(operand) => operand.placeholder().to_owned(),
            Argument::Several(operand) => format!("{}…", operand.placeholder()),
            Argument::Option(option) => option.long_text(),
        }));
        parts.join(" ")
    }

    /// Whether this form accepts the option, and not all forms do.
    pub fn accepts(&self, option: &Opt) -> bool {
        self.options.iter().any(|accepted| accepted.long == option.long)
    }

    /// Whether a command line of this form can begin with these words and operands, which have no options.
    pub(crate) fn can_begin_with(&self, typed: &[&str]) -> bool {
        let (words, operands) = typed.split_at(typed.len().min(self.words.len()));
        let is_unlimited = matches!(self.arguments, [.., Argument::Several(_)]);
        self.words.starts_with(words) && (operands.len() <= self.arguments.len() || is_unlimited)
    }
}

impl Program {
    /// The form of a command line with these words and operands.
    pub(crate) fn form(&self, typed: &[&str]) -> Option<&'static Form> {
        self.forms_from(typed).find(|form| typed.len() >= form.words.len() + form.arguments.len())
    }

    /// The forms that can begin with these words and operands.
    pub(crate) fn forms_from(&self, typed: &[&str]) -> impl Iterator<Item = &'static Form> {
        self.forms.iter().filter(move |form| form.can_begin_with(typed))
    }
}

//! The texts of `--help` and `--version`, for a complete program or for the commands that begin with some
//! words, and the error messages. All of it comes from the tables in [`crate::command::help`]. Pure, except
//! the functions that print an error.

use crate::command::exit::Exit;
use crate::command::help::{Opt, Program, words as typed_words};
use crate::command::process::{print_error, print_error_lines};

/// Whether the words match this form of the help. A word in capitals matches any word, and with `…` several.
pub(crate) fn is_form(form: &str, words: &[&str]) -> bool {
    let parts = form.split(' ').count();
    begins(form, words) && if form.ends_with('…') { parts <= words.len() } else { parts == words.len() }
}

/// Whether this form begins with the words.
pub(crate) fn begins(form: &str, words: &[&str]) -> bool {
    let mut parts = form.trim_end_matches('…').split(' ');
    for word in words {
        match parts.next() {
            Some(part) if part == *word || part.bytes().all(|byte| byte.is_ascii_uppercase()) => {}
            Some(_) => return false,
            None => return form.ends_with('…'),
        }
    }
    true
}

impl Opt {
    /// The option as it is typed: `-f, --file FILE`.
    pub fn form(&self) -> String {
        let short = self.short.map(|letter| format!("-{letter}, ")).unwrap_or_default();
        let value = self.value.map(|value| format!(" {value}")).unwrap_or_default();
        format!("{short}--{}{value}", self.long)
    }

    /// The effect of the option, and which of these forms accept it if not all do.
    fn description(&self, forms: &[&str]) -> String {
        let mut commands: Vec<String> = Vec::new();
        let mut with_all = true;
        for form in forms {
            if self.with.contains(form) {
                commands.push(format!("`{}`", typed_words(form)));
            } else {
                with_all = false;
            }
        }
        commands.dedup();
        match &commands[..] {
            _ if with_all => self.does.to_owned(),
            [] => self.does.to_owned(),
            [one] => format!("with {one}: {}", self.does),
            [others @ .., last] => format!("with {} and {last}: {}", others.join(", "), self.does),
        }
    }
}

impl Program {
    /// Whether a command begins with these words or consists of them.
    pub(crate) fn has(&self, words: &[&str]) -> bool {
        self.uses.iter().any(|(form, _)| begins(form, words))
    }

    /// The text of `--help` for the commands that begin with these words, or without words for the program.
    pub(crate) fn help(&self, words: &[&str]) -> String {
        let is_program = words.is_empty();
        let (mut forms, mut uses, mut options) = (Vec::new(), Vec::new(), Vec::new());
        for (form, does) in self.uses.iter().filter(|(form, _)| begins(form, words)) {
            forms.push(*form);
            uses.push((format!("{} {form}", self.name).trim_end().to_owned(), (*does).to_owned()));
        }
        for option in self.options {
            if is_program || option.long == "help" || option.with.iter().any(|form| forms.contains(form)) {
                options.push((option.form(), option.description(&forms)));
            }
        }
        let mut text = if is_program { format!("{}\n\n", self.about) } else { String::new() };
        table(&mut text, "Usage:\n", &uses);
        table(&mut text, "\nOptions:\n", &options);
        if !is_program {
            return text;
        }
        if !self.notes.is_empty() {
            text.push_str(&format!("\n{}\n", self.notes.join("\n")));
        }
        let codes = Exit::MEANINGS.map(|(exit, meaning)| ((exit as u8).to_string(), meaning.to_owned()));
        table(&mut text, "\nExit codes:\n", &codes);
        text
    }

    /// The text of `--version`.
    pub(crate) fn version(&self) -> String {
        format!("{} {}\n", self.name, env!("CARGO_PKG_VERSION"))
    }

    /// Prints what is wrong with the command line.
    pub(crate) fn misused(&self, why: &str) -> Exit {
        print_error(self, &format!("{why}; see `{} --help`", self.name));
        Exit::Usage
    }

    /// Prints the possible commands if only their first words were typed.
    pub(crate) fn incomplete(&self, words: &[&str]) -> Exit {
        // Print the words of the help, not those that were typed.
        let form = self.uses.iter().find(|(form, _)| begins(form, words)).map_or("", |(form, _)| form);
        let typed: Vec<_> = form.split(' ').take(words.len()).collect();
        print_error(self, &format!("`{}` is not a whole command", typed.join(" ")));
        print_error_lines(&self.help(words));
        Exit::Usage
    }

    /// Prints the error.
    pub(crate) fn failed(&self, why: &dyn std::fmt::Display, exit: Exit) -> Exit {
        print_error(self, why);
        exit
    }
}

fn table(text: &mut String, title: &str, rows: &[(String, String)]) {
    text.push_str(title);
    let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or_default();
    for (left, right) in rows {
        text.push_str(&format!("  {left:width$}  {right}\n"));
    }
}

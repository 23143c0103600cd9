//! The texts of `--help` and `--version`, for a whole program or for the commands that begin with some words, and the messages of errors.
//! All of it comes from the tables in [`crate::command::help`]. Pure, but for what prints an error.

use crate::command::exit::Exit;
use crate::command::help::{Opt, Program, words as typed_words};
use crate::command::process::{complain, complain_lines};

/// Whether the words are this form of the help, where a word in capitals stands for any, and for several with `…` behind it.
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
    /// As it is typed: `-f, --file FILE`.
    pub fn form(&self) -> String {
        let short = self.short.map(|letter| format!("-{letter}, ")).unwrap_or_default();
        let value = self.value.map(|value| format!(" {value}")).unwrap_or_default();
        format!("{short}--{}{value}", self.long)
    }

    /// What it does, and with which of these forms it goes, where it does not go with all of them.
    fn told(&self, forms: &[&str]) -> String {
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
    /// Whether a command begins with these words, or is them.
    pub(crate) fn has(&self, words: &[&str]) -> bool {
        self.uses.iter().any(|(form, _)| begins(form, words))
    }

    /// The text of `--help`: of the commands that begin with these words, or without words, of the program.
    pub(crate) fn help(&self, words: &[&str]) -> String {
        let whole = words.is_empty();
        let (mut forms, mut uses, mut options) = (Vec::new(), Vec::new(), Vec::new());
        for (form, does) in self.uses.iter().filter(|(form, _)| begins(form, words)) {
            forms.push(*form);
            uses.push((format!("{} {form}", self.name).trim_end().to_owned(), (*does).to_owned()));
        }
        for option in self.options {
            if whole || option.long == "help" || option.with.iter().any(|form| forms.contains(form)) {
                options.push((option.form(), option.told(&forms)));
            }
        }
        let mut text = if whole { format!("{}\n\n", self.about) } else { String::new() };
        table(&mut text, "Usage:\n", &uses);
        table(&mut text, "\nOptions:\n", &options);
        if !whole {
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

    /// Says what is wrong with the command line.
    pub(crate) fn misused(&self, why: &str) -> Exit {
        complain(self, &format!("{why}; see `{} --help`", self.name));
        Exit::Usage
    }

    /// Says how a command goes on of which only these words were typed.
    pub(crate) fn incomplete(&self, words: &[&str]) -> Exit {
        // The help's own words, and not those that were typed.
        let form = self.uses.iter().find(|(form, _)| begins(form, words)).map_or("", |(form, _)| form);
        let typed: Vec<_> = form.split(' ').take(words.len()).collect();
        complain(self, &format!("`{}` is not a whole command", typed.join(" ")));
        complain_lines(&self.help(words));
        Exit::Usage
    }

    /// Says what went wrong.
    pub(crate) fn failed(&self, why: &dyn std::fmt::Display, exit: Exit) -> Exit {
        complain(self, why);
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

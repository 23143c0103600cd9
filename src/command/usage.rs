//! The texts of `--help` and `--version`, for a complete program or for the commands that begin with some
//! words, and the error messages. All of it comes from the tables in [`crate::command::help`]. Pure, except
//! the functions that print an error.

use crate::command::exit::Exit;
use crate::command::grammar::{Form, Opt, Program};
use crate::command::help::HELP;
use crate::command::process::{print_error, print_error_lines};

impl Opt {
    /// The effect of the option, and which of these forms accept it if not all do.
    fn description(&self, forms: &[&Form]) -> String {
        let accepting = forms.iter().filter(|form| form.accepts(self));
        let mut commands: Vec<_> = accepting.map(|form| format!("`{}`", form.command())).collect();
        let is_accepted_by_all = commands.len() == forms.len();
        commands.dedup();
        match commands.split_last() {
            Some((last, [])) if !is_accepted_by_all => format!("with {last}: {}", self.effect),
            Some((last, others)) if !is_accepted_by_all => {
                format!("with {} and {last}: {}", others.join(", "), self.effect)
            }
            _ => self.effect.to_owned(),
        }
    }
}

impl Program {
    /// The text of `--help` for the commands that begin with these words, or without words for the program.
    pub(crate) fn help(&self, typed: &[&str]) -> String {
        let is_program = typed.is_empty();
        let forms: Vec<_> = self.forms_from(typed).collect();
        let form_row = |form: &&Form| {
            (format!("{} {}", self.name, form.text()).trim_end().to_owned(), form.effect.to_owned())
        };
        let is_shown = |option: &&&Opt| {
            is_program || option.long == HELP.long || forms.iter().any(|form| form.accepts(option))
        };
        let option_row = |option: &&Opt| (option.text(), option.description(&forms));
        let mut text = if is_program { format!("{}\n\n", self.about) } else { String::new() };
        add_table(&mut text, "Usage:\n", forms.iter().map(form_row));
        let options = self.options.iter().filter(is_shown);
        add_table(&mut text, "\nOptions:\n", options.map(option_row));
        if !is_program {
            return text;
        }
        if !self.notes.is_empty() {
            text.push_str(&format!("\n{}\n", self.notes.join("\n")));
        }
        let codes =
            self.exit_codes.iter().map(|(exit, meaning)| ((*exit as u8).to_string(), (*meaning).to_owned()));
        add_table(&mut text, "\nExit codes:\n", codes);
        text
    }

    /// The text of `--version`.
    pub(crate) fn version(&self) -> String {
        format!("{} {}\n", self.name, env!("CARGO_PKG_VERSION"))
    }

    /// Prints what is wrong with the command line.
    pub(crate) fn fail_usage(&self, why: &str) -> Exit {
        self.fail(&format!("{why}; see `{} --help`", self.name), Exit::Usage)
    }

    /// Prints the possible commands if only their first words were typed.
    pub(crate) fn fail_incomplete(&self, typed: &[&str]) -> Exit {
        // Print the words of the table, not those that were typed.
        let words = self.forms_from(typed).next().map_or(&[][..], |form| form.words);
        let words = words[..words.len().min(typed.len())].join(" ");
        print_error(self, &format!("`{words}` is an incomplete command"));
        print_error_lines(&self.help(typed));
        Exit::Usage
    }

    /// Prints the error.
    pub(crate) fn fail(&self, why: &dyn std::fmt::Display, exit: Exit) -> Exit {
        print_error(self, why);
        exit
    }
}

fn add_table(text: &mut String, title: &str, rows: impl IntoIterator<Item = (String, String)>) {
    let rows: Vec<_> = rows.into_iter().collect();
    text.push_str(title);
    let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or_default();
    for (left, right) in rows {
        text.push_str(&format!("  {left:width$}  {right}\n"));
    }
}

//! The manual pages ([`man`]) and the completions of bash, zsh and fish. They are generated from the tables that `--help` and `config show`
//! use. This library only makes the texts; the program writes the files.

mod bash;
mod fish;
mod man;
mod scripts;
mod zsh;

use scw_agent::command::{AGENT, Opt, Program, USERDATA, words};

/// Every file: its path below /usr/share, and its text.
pub fn files() -> Vec<(String, String)> {
    let mut files = vec![
        ("man/man8/scw-agent.8".to_owned(), man::agent()),
        ("man/man1/scw-userdata.1".to_owned(), man::userdata()),
        ("man/man5/scw-agent.toml.5".to_owned(), man::configuration()),
    ];
    for program in [&AGENT, &USERDATA] {
        let name = program.name;
        files.push((format!("bash-completion/completions/{name}"), bash::completion(program)));
        files.push((format!("zsh/site-functions/_{name}"), zsh::completion(program)));
        files.push((format!("fish/vendor_completions.d/{name}.fish"), fish::completion(program)));
    }
    files
}

/// The words that can follow these words, each once. A word that ends a command has the command's description.
fn next_words(program: &Program, before: &[&str]) -> Vec<(String, &'static str)> {
    let mut found: Vec<(String, &'static str)> = Vec::new();
    for (form, does) in program.uses {
        let words = scw_agent::command::words(form);
        let words: Vec<_> = words.split(' ').filter(|word| !word.is_empty()).collect();
        let Some((word, rest)) = words.strip_prefix(before).and_then(|rest| rest.split_first()) else {
            continue;
        };
        if !found.iter().any(|(known, _)| known == word) {
            found.push(((*word).to_owned(), if rest.is_empty() { does } else { "" }));
        }
    }
    found
}

/// The first words of commands that have a second one.
fn groups(program: &Program) -> Vec<String> {
    next_words(program, &[])
        .into_iter()
        .map(|(word, _)| word)
        .filter(|word| !next_words(program, &[word]).is_empty())
        .collect()
}

/// The commands, each once, as the words that a user types.
fn commands(program: &Program) -> Vec<String> {
    let mut commands: Vec<_> = program.uses.iter().map(|(form, _)| words(form)).collect();
    commands.dedup();
    commands
}

/// The commands that take a file name.
fn file_commands(program: &Program) -> Vec<String> {
    let uses = program.uses.iter().filter(|(form, _)| form.contains("FILE"));
    uses.map(|(form, _)| words(form)).filter(|command| !command.is_empty()).collect()
}

/// The options of the commands that begin with these words; without words, all options.
fn fitting(program: &Program, before: &[&str]) -> Vec<&'static Opt> {
    let before = before.join(" ");
    let begins = |form: &str| {
        let command = words(form);
        command == before || command.starts_with(&format!("{before} "))
    };
    let goes = |option: &&Opt| {
        before.is_empty() || option.long == "help" || option.with.iter().any(|form| begins(form))
    };
    program.options.iter().filter(goes).collect()
}

/// A text that can be put between single quotes in a shell script.
fn quoted(text: &str) -> String {
    text.replace('\'', "'\\''")
}

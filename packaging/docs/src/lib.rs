//! What is generated from the programs' own tables: the manual pages ([`man`]), the completions of bash, zsh and fish, the journal's message
//! catalog ([`events`]), the example of the configuration, and parts of the pages in docs/reference ([`markdown`]). The completions of
//! scw-known-hosts are clap's ([`client`]). This library only makes the texts; the program writes the files.

mod bash;
mod client;
mod diagnoses;
mod events;
mod fish;
mod guest_pages;
mod man;
mod markdown;
mod schema;
mod scripts;
mod zsh;

use scw_agent::command::{AGENT, Argument, GUEST_PROGRAMS, Operand, Opt, Program, USERDATA};

pub use events::event_ids;
pub use markdown::{Part, parts};

/// The JSON Schema of the status document, below the checkout. It is written by hand; docs/reference/status.md has its fields.
pub const SCHEMA: &str = "docs/reference/status.schema.json";

/// The manual page of scw-known-hosts, below the checkout. It is written by hand.
pub const CLIENT_PAGE: &str = "packaging/usr/share/man/man1/scw-known-hosts.1";

/// Every generated file: its path below the checkout, and its text.
pub fn files() -> Vec<(String, String)> {
    let share = |path: &str| format!("packaging/usr/share/{path}");
    let mut files = vec![
        (share("man/man8/scw-agent.8"), man::agent()),
        (share("man/man1/scw-userdata.1"), man::userdata()),
        (share("man/man5/scw-agent.toml.5"), man::configuration()),
        ("packaging/etc/scw-agent.toml".to_owned(), markdown::example_configuration()),
        ("packaging/usr/lib/systemd/catalog/scw-agent.catalog".to_owned(), events::catalog()),
    ];
    for program in [&AGENT, &USERDATA] {
        let name = program.name;
        files.push((share(&format!("bash-completion/completions/{name}")), bash::completion(program)));
        files.push((share(&format!("zsh/site-functions/_{name}")), zsh::completion(program)));
        files.push((share(&format!("fish/vendor_completions.d/{name}.fish")), fish::completion(program)));
    }
    for (program, page) in GUEST_PROGRAMS.iter().zip(&guest_pages::PAGES) {
        assert_eq!(program.name, page.name, "the tables have the same order");
        let (name, number) = (page.name, page.section);
        let path = format!("packaging/ecosystem/usr/share/man/man{number}/{name}.{number}");
        files.push((path, man::guest(program, page)));
    }
    files.extend(client::completions().map(|(path, text)| (share(&path), text)));
    files
}

/// The words that the user types for a command.
type Words = &'static [&'static str];

/// The words that can follow these words, each once. A word that ends a command has the command's effect.
fn next_words(program: &Program, before: &[&str]) -> Vec<(&'static str, &'static str)> {
    let mut next: Vec<(&'static str, &'static str)> = Vec::new();
    for form in program.forms {
        let next_word = form.words.get(before.len()).filter(|_| form.words.starts_with(before));
        let Some(word) = next_word else { continue };
        if !next.iter().any(|(listed, _)| listed == word) {
            next.push((word, if form.words.len() == before.len() + 1 { form.effect } else { "" }));
        }
    }
    next
}

/// The first words of commands that have a second one.
fn groups(program: &Program) -> Vec<&'static str> {
    let first_words = next_words(program, &[]).into_iter().map(|(word, _)| word);
    first_words.filter(|word| !next_words(program, &[word]).is_empty()).collect()
}

/// The commands, each once, as the words that a user types.
pub fn commands(program: &Program) -> Vec<Words> {
    let mut commands: Vec<_> = program.forms.iter().map(|form| form.words).collect();
    commands.dedup();
    commands
}

/// The commands with a form that has files as operands.
fn file_commands(program: &Program) -> Vec<Words> {
    let is_file = |argument: &Argument| {
        matches!(argument, Argument::One(Operand::File) | Argument::Several(Operand::File))
    };
    let forms = program.forms.iter().filter(|form| form.arguments.iter().any(is_file));
    forms.map(|form| form.words).collect()
}

/// The options of the commands that begin with these words; without words, all options.
fn options_after(program: &Program, before: &[&str]) -> Vec<&'static Opt> {
    let is_accepted = |option: &&Opt| {
        let mut forms = program.forms.iter().filter(|form| form.words.starts_with(before));
        before.is_empty() || option.long == "help" || forms.any(|form| form.accepts(option))
    };
    program.options.iter().copied().filter(is_accepted).collect()
}

/// A text that can be put between single quotes in a shell script.
fn quoted(text: &str) -> String {
    text.replace('\'', "'\\''")
}

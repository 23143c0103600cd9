//! Completion for fish, with a description of each word.

use scw_agent::command::{Operand, Program};

use crate::{file_commands, groups, next_words};

pub(crate) fn completion(program: &Program) -> String {
    let name = program.name;
    let mut text = format!("# Made by packaging/docs; do not edit.\ncomplete -c {name} -f\n");
    let mut add_word = |condition: &str, (word, effect): (&str, &str)| {
        text.push_str(&format!("complete -c {name} -n '{condition}' -a {word} -d '{}'\n", escaped(effect)));
    };
    for first in next_words(program, &[]) {
        add_word("__fish_use_subcommand", first);
    }
    for group in groups(program) {
        let second = next_words(program, &[group]);
        let all: Vec<_> = second.iter().map(|(word, _)| *word).collect();
        let condition = format!(
            "__fish_seen_subcommand_from {group}; and not __fish_seen_subcommand_from {}",
            all.join(" ")
        );
        for second in second {
            add_word(&condition, second);
        }
    }
    for command in file_commands(program) {
        text.push_str(&format!("complete -c {name} -n '{}' -F\n", seen(command)));
    }
    for option in program.options {
        let short = option.short.map(|letter| format!(" -s {letter}")).unwrap_or_default();
        let value = match option.value {
            Some(Operand::File) => " -r -F",
            Some(_) => " -x",
            None => "",
        };
        let accepting = program.forms.iter().filter(|form| form.accepts(option));
        let mut commands: Vec<_> = accepting.map(|form| form.words).collect();
        commands.dedup();
        let conditions = match &commands[..] {
            // In a program without commands, options precede the first word, except for the one that takes a file.
            [] if groups(program).is_empty() && option.value.is_none() => {
                vec![" -n __fish_use_subcommand".to_owned()]
            }
            [] if option.long == "version" => vec![" -n __fish_use_subcommand".to_owned()],
            [] => vec![String::new()],
            commands => commands.iter().map(|command| format!(" -n '{}'", seen(command))).collect(),
        };
        for condition in conditions {
            text.push_str(&format!(
                "complete -c {name}{condition}{short} -l {}{value} -d '{}'\n",
                option.long,
                escaped(option.effect)
            ));
        }
    }
    text
}

/// The condition that the user has typed this command.
fn seen(command: &[&str]) -> String {
    let each = command.iter().map(|word| format!("__fish_seen_subcommand_from {word}"));
    each.collect::<Vec<_>>().join("; and ")
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

//! Completion for fish, with what each word does.

use scw_agent::command::{Program, words};

use crate::{groups, next_words};

pub(crate) fn completion(program: &Program) -> String {
    let name = program.name;
    let mut text = format!("# Made by packaging/docs; do not edit.\ncomplete -c {name} -f\n");
    let mut word = |condition: &str, (word, does): (String, &str)| {
        text.push_str(&format!("complete -c {name} -n '{condition}' -a {word} -d '{}'\n", escaped(does)));
    };
    for first in next_words(program, &[]) {
        word("__fish_use_subcommand", first);
    }
    for group in groups(program) {
        let second = next_words(program, &[&group]);
        let all: Vec<_> = second.iter().map(|(word, _)| word.clone()).collect();
        let condition = format!(
            "__fish_seen_subcommand_from {group}; and not __fish_seen_subcommand_from {}",
            all.join(" ")
        );
        for second in second {
            word(&condition, second);
        }
    }
    for option in program.options {
        let short = option.short.map(|letter| format!(" -s {letter}")).unwrap_or_default();
        let value = match option.value {
            Some("FILE") => " -r -F",
            Some(_) => " -x",
            None => "",
        };
        let conditions: Vec<_> = option.with.iter().map(|form| words(form)).collect();
        let conditions: Vec<_> = conditions
            .iter()
            .map(|form| {
                let each = form.split(' ').map(|word| format!("__fish_seen_subcommand_from {word}"));
                each.collect::<Vec<_>>().join("; and ")
            })
            .collect();
        let lines: Vec<_> = if conditions.is_empty() {
            vec![String::new()]
        } else {
            conditions.into_iter().map(|condition| format!(" -n '{condition}'")).collect()
        };
        for condition in lines {
            text.push_str(&format!(
                "complete -c {name}{condition}{short} -l {}{value} -d '{}'\n",
                option.long,
                escaped(option.does)
            ));
        }
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

//! Completion for zsh, with what each word does.

use scw_agent::command::{Opt, Program};

use crate::{groups, next_words, quoted};

pub(crate) fn completion(program: &Program) -> String {
    let mut text = format!("#compdef {}\n# Made by packaging/docs; do not edit.\n\n", program.name);
    let options: Vec<_> = program.options.iter().map(option).collect();
    if next_words(program, &[]).is_empty() {
        text.push_str(&format!("_arguments -s {} '1:key: ' '2:value: '\n", options.join(" ")));
        return text;
    }
    text.push_str(&format!("_arguments -C {} '1: :->first' '2: :->second'\n", options.join(" ")));
    text.push_str("local -a list\ncase $state in\n");
    text.push_str(&format!(
        "first)\n    list=({})\n    _describe command list ;;\n",
        described(program, &[])
    ));
    text.push_str("second)\n    case $line[1] in\n");
    for group in groups(program) {
        text.push_str(&format!("    {group}) list=({}) ;;\n", described(program, &[&group])));
    }
    text.push_str("    esac\n    _describe command list ;;\nesac\n");
    text
}

fn described(program: &Program, before: &[&str]) -> String {
    let words = next_words(program, before).into_iter();
    let words = words.map(|(word, does)| match does {
        "" => format!("'{word}'"),
        does => format!("'{word}:{}'", quoted(&does.replace(':', "\\:"))),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn option(option: &Opt) -> String {
    let value = match option.value {
        Some("FILE") => ":file:_files".to_owned(),
        Some(value) => format!(":{}: ", value.to_lowercase()),
        None => String::new(),
    };
    let does = quoted(option.does).replace('[', "\\[").replace(']', "\\]");
    match option.short {
        Some(short) => {
            format!("'(-{short} --{long})'{{-{short},--{long}}}'[{does}]{value}'", long = option.long)
        }
        None => format!("'--{}[{does}]{value}'", option.long),
    }
}

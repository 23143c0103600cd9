//! Completion for zsh, with a description of each word.

use scw_agent::command::{Opt, Program};

use crate::{commands, file_commands, fitting, groups, next_words, quoted};

/// The variables that zsh's completion functions set.
const VARIABLES: &str = "local curcontext=$curcontext state line\nlocal -a list\ntypeset -A opt_args\n";

pub(crate) fn completion(program: &Program) -> String {
    let mut text =
        format!("#compdef {}\n# Made by packaging/docs; do not edit.\n\n{VARIABLES}", program.name);
    if groups(program).is_empty() {
        let options = options(program, &[]);
        // Options precede the first word, except for the one that takes a file.
        text.push_str(&format!("_arguments -s -A '-*' {options} '1:key: ' '*:: :->rest'\n"));
        text.push_str("[[ $state == rest ]] || return\n");
        text.push_str("if (( CURRENT == 2 )); then\n    compadd -- --file\nelif [[ $words[2] == (-f|--file) ]]; then\n    _files\nfi\n");
        return text;
    }
    let choice = "'1: :->word' '*:: :->rest'";
    let described = |before: &[&str]| {
        format!("word) list=({}); _describe command list; return ;;", described(program, before))
    };
    text.push_str(&format!(
        "_arguments -C {} {choice}\ncase $state in\n{}\nrest) ;;\n*) return ;;\nesac\n",
        options(program, &[]),
        described(&[])
    ));
    text.push_str("state=\ncase $words[1] in\n");
    let ending = |command: &str| {
        let words: Vec<_> = command.split(' ').collect();
        let files = if file_commands(program).iter().any(|with| with == command) {
            "'*:file:_files'"
        } else {
            "'*: :'"
        };
        format!("_arguments {} {files}", options(program, &words))
    };
    for group in groups(program) {
        text.push_str(&format!(
            "{group})\n    _arguments -C {} {choice}\n    case $state in\n    {}\n    rest)\n        case $words[1] in\n",
            options(program, &[&group]),
            described(&[&group])
        ));
        for command in commands(program) {
            if let Some((_, second)) = command.split_once(' ').filter(|(first, _)| *first == group) {
                text.push_str(&format!("        {second}) {} ;;\n", ending(&command)));
            }
        }
        text.push_str("        esac ;;\n    esac ;;\n");
    }
    for command in commands(program).iter().filter(|command| !command.contains(' ')) {
        text.push_str(&format!("{command}) {} ;;\n", ending(command)));
    }
    text.push_str("esac\n");
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

fn options(program: &Program, before: &[&str]) -> String {
    fitting(program, before).into_iter().map(option).collect::<Vec<_>>().join(" ")
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

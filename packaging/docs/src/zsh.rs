//! Completion for zsh, with a description of each word.

use scw_agent::command::{Operand, Opt, Program};

use crate::{Words, commands, file_commands, groups, next_words, options_after, quoted};

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
    let word_case = |before: &[&str]| {
        format!("word) list=({}); _describe command list; return ;;", described_words(program, before))
    };
    text.push_str(&format!(
        "_arguments -C {} {choice}\ncase $state in\n{}\nrest) ;;\n*) return ;;\nesac\n",
        options(program, &[]),
        word_case(&[])
    ));
    text.push_str("state=\ncase $words[1] in\n");
    let operands = |command: Words| {
        let files = if file_commands(program).contains(&command) { "'*:file:_files'" } else { "'*: :'" };
        format!("_arguments {} {files}", options(program, command))
    };
    for group in groups(program) {
        text.push_str(&format!(
            "{group})\n    _arguments -C {} {choice}\n    case $state in\n    {}\n    rest)\n        case $words[1] in\n",
            options(program, &[group]),
            word_case(&[group])
        ));
        for command in commands(program) {
            match command {
                [first, second] if *first == group => {
                    text.push_str(&format!("        {second}) {} ;;\n", operands(command)));
                }
                _ => {}
            }
        }
        text.push_str("        esac ;;\n    esac ;;\n");
    }
    for command in commands(program) {
        if let [word] = command {
            text.push_str(&format!("{word}) {} ;;\n", operands(command)));
        }
    }
    text.push_str("esac\n");
    text
}

fn described_words(program: &Program, before: &[&str]) -> String {
    let words = next_words(program, before).into_iter();
    let words = words.map(|(word, effect)| match effect {
        "" => format!("'{word}'"),
        effect => format!("'{word}:{}'", quoted(&effect.replace(':', "\\:"))),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn options(program: &Program, before: &[&str]) -> String {
    options_after(program, before).into_iter().map(option).collect::<Vec<_>>().join(" ")
}

fn option(option: &Opt) -> String {
    let value = match option.value {
        Some(Operand::File) => ":file:_files".to_owned(),
        Some(value) => format!(":{}: ", value.placeholder().to_lowercase()),
        None => String::new(),
    };
    let effect = quoted(option.effect).replace('[', "\\[").replace(']', "\\]");
    match option.short {
        Some(short) => {
            format!("'(-{short} --{long})'{{-{short},--{long}}}'[{effect}]{value}'", long = option.long)
        }
        None => format!("'--{}[{effect}]{value}'", option.long),
    }
}

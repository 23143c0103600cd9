//! Completion for bash. It does not use helper functions of the bash-completion package, so it works with all versions of that package and
//! without it.

use scw_agent::command::{Operand, Program};

use crate::{commands, file_commands, groups, next_words, options_after};

const FILES: &str = "mapfile -t COMPREPLY < <(compgen -f -- \"$word\"); return";

pub(crate) fn completion(program: &Program) -> String {
    let function = program.name.replace('-', "_");
    let mut text = format!(
        "# Made by packaging/docs; do not edit.\n_{function}() {{\n    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} words= at\n    local -a typed=()\n    COMPREPLY=()\n"
    );
    // Collects the words so far, without options and their values.
    text.push_str("    for (( at = 1; at < COMP_CWORD; at++ )); do\n        case ${COMP_WORDS[at]} in\n");
    let with_value = options_with_value(program, |_| true);
    if !with_value.is_empty() {
        text.push_str(&format!("            {with_value}) (( ++at )) ;;\n"));
    }
    text.push_str(
        "            -*) ;;\n            *) typed+=(\"${COMP_WORDS[at]}\") ;;\n        esac\n    done\n",
    );
    let files = options_with_value(program, |value| value == Operand::File);
    if !files.is_empty() {
        text.push_str(&format!("    case $before in {files}) {FILES} ;; esac\n"));
    }
    text.push_str(&if groups(program).is_empty() { of_words(program) } else { of_commands(program) });
    text.push_str(&format!(
        "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n}}\ncomplete -F _{function} {}\n",
        program.name
    ));
    text
}

/// A pattern that matches the options that take a value.
fn options_with_value(program: &Program, is_wanted: impl Fn(Operand) -> bool) -> String {
    let options = program.options.iter().filter(|option| option.value.is_some_and(&is_wanted));
    let options = options.map(|option| match option.short {
        Some(short) => format!("-{short}|--{}", option.long),
        None => format!("--{}", option.long),
    });
    options.collect::<Vec<_>>().join("|")
}

/// The completion of a program with commands, each of which has its own options.
fn of_commands(program: &Program) -> String {
    let list = |before: &[&str]| {
        next_words(program, before).into_iter().map(|(word, _)| word).collect::<Vec<_>>().join(" ")
    };
    let options = |before: &[&str]| {
        let options = options_after(program, before).into_iter().map(|option| format!("--{}", option.long));
        options.collect::<Vec<_>>().join(" ")
    };
    let mut text = String::from("    if [[ $word == -* ]]; then\n        case \"${typed[*]:0:2}\" in\n");
    for command in commands(program) {
        let pattern = match command {
            [word] => format!("{word}|{word}\\ *"),
            words => format!("'{}'", words.join(" ")),
        };
        text.push_str(&format!("            {pattern}) words='{}' ;;\n", options(command)));
    }
    for group in groups(program) {
        text.push_str(&format!("            {group}) words='{}' ;;\n", options(&[group])));
    }
    text.push_str(&format!("            '') words='{}' ;;\n        esac\n", options(&[])));
    text.push_str(&format!(
        "    elif (( ${{#typed[@]}} == 0 )); then\n        words='{}'\n    else\n        case \"${{typed[*]:0:2}}\" in\n",
        list(&[])
    ));
    for group in groups(program) {
        text.push_str(&format!("            {group}) words='{}' ;;\n", list(&[group])));
    }
    for command in file_commands(program) {
        text.push_str(&format!("            '{}') {FILES} ;;\n", command.join(" ")));
    }
    text.push_str("        esac\n    fi\n");
    text
}

/// The completion of a program without commands. Its options precede its first word, except for the one that takes a file.
fn of_words(program: &Program) -> String {
    let long = |is_wanted: &dyn Fn(Option<Operand>) -> bool| {
        let options = program.options.iter().filter(|option| is_wanted(option.value));
        options.map(|option| format!("--{}", option.long)).collect::<Vec<_>>().join(" ")
    };
    format!(
        "    if [[ $word == -* ]]; then\n        case ${{#typed[@]}} in\n            0) words='{}' ;;\n            1) words='{}' ;;\n        esac\n    fi\n",
        long(&|_| true),
        long(&|value| value == Some(Operand::File))
    )
}

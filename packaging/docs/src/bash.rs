//! Completion for bash, without the helper functions of the bash-completion package: it works with either version of them, and alone.

use scw_agent::command::Program;

use crate::{groups, next_words};

pub(crate) fn completion(program: &Program) -> String {
    let function = program.name.replace('-', "_");
    let list = |before: &[&str]| {
        next_words(program, before).into_iter().map(|(word, _)| word).collect::<Vec<_>>().join(" ")
    };
    let options: Vec<_> = program.options.iter().map(|option| format!("--{}", option.long)).collect();
    let files: Vec<_> = program.options.iter().filter(|option| option.value == Some("FILE")).collect();
    let mut text = format!(
        "# Made by packaging/docs; do not edit.\n_{function}() {{\n    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} words=\n    COMPREPLY=()\n"
    );
    for option in files {
        let short = option.short.map(|letter| format!("-{letter}|")).unwrap_or_default();
        text.push_str(&format!(
            "    case $before in {short}--{}) mapfile -t COMPREPLY < <(compgen -f -- \"$word\"); return ;; esac\n",
            option.long
        ));
    }
    text.push_str(&format!("    if [[ $word == -* ]]; then\n        words='{}'\n", options.join(" ")));
    if !list(&[]).is_empty() {
        text.push_str(&format!("    elif (( COMP_CWORD == 1 )); then\n        words='{}'\n", list(&[])));
        text.push_str("    elif (( COMP_CWORD == 2 )); then\n        case $before in\n");
        for group in groups(program) {
            text.push_str(&format!("            {group}) words='{}' ;;\n", list(&[&group])));
        }
        text.push_str("        esac\n");
    }
    text.push_str(&format!(
        "    fi\n    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n}}\ncomplete -F _{function} {}\n",
        program.name
    ));
    text
}

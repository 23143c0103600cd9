//! What the documents say is true: the help they show, the configuration, the tests they name.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::machine::{AGENT, USERDATA};

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect(name)
}

/// The fenced blocks of a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    text.split(&format!("```{language}\n")).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_readme_shows_the_help_that_the_programs_give() {
    let readme = read("README.md");
    for program in [AGENT, USERDATA] {
        let help = Command::new(program).arg("--help").output().expect("started").stdout;
        let help = String::from_utf8(help).expect("UTF-8");
        assert!(blocks(&readme, "text").contains(&&*help), "the README should show:\n{help}");
    }
}

#[test]
fn the_readme_shows_the_defaults_that_the_agent_shows() {
    let shown = scw_agent::settings::defaults();
    assert!(blocks(&read("README.md"), "toml").contains(&&*shown), "the README should show:\n{shown}");
}

#[test]
fn the_readme_names_every_field_of_the_status_document() {
    let readme = read("README.md");
    let status = serde_json::to_value(scw_agent::status::Status::unknown()).expect("JSON");
    for field in status.as_object().expect("an object").keys() {
        assert!(
            readme.lines().any(|line| line.starts_with("| `") && line.contains(&format!("`{field}`"))),
            "{field}"
        );
    }
}

#[test]
fn every_test_that_the_documents_name_is_there() {
    let text = read("ARCHITECTURE.md") + &read("SECURITY.md");
    let named = text
        .lines()
        .filter(|line| line.starts_with("| "))
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    let named: Vec<_> = named.filter(|name| name.contains('_') && name.matches('_').count() > 2).collect();
    assert!(named.len() > 20, "{named:?}");
    let sources = Command::new("grep")
        .args(["-rhE", "^ *(async )?fn [a-z0-9_]+\\(\\)", "src", "tests"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("started");
    let sources = String::from_utf8(sources.stdout).expect("UTF-8");
    for name in named {
        assert!(sources.contains(&format!("fn {name}()")), "there is no test {name}");
    }
}

#[test]
fn the_readmes_example_of_the_doctor_gives_the_advice_that_the_doctor_gives() {
    let readme = read("README.md");
    let trouble = scw_agent::doctor::Trouble::BlackHole;
    for words in [trouble.cause(), trouble.remedy()] {
        assert!(readme.contains(words), "the README should show: {words}");
    }
}

#[test]
fn the_readme_lists_the_ids_of_all_events_and_no_others() {
    let ids = |text: &str, quote: char| -> std::collections::BTreeSet<String> {
        let words = text.split(quote).filter(|word| word.len() == 32);
        words.filter(|word| word.bytes().all(|byte| byte.is_ascii_hexdigit())).map(str::to_owned).collect()
    };
    let events = ids(&read("src/events.rs"), '"');
    assert_eq!((events.len(), &events), (10, &ids(&read("README.md"), '`')));
}

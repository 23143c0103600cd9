//! The generated parts of the pages in docs/reference. What surrounds them is written by hand.

use scw_agent::command::Exit;
use scw_agent::settings::{KEYS, Settings, defaults};

use crate::man::Rows;
use crate::{diagnoses, events, schema, scripts};

/// A generated part of a page.
pub struct Part {
    /// The page, below the checkout.
    pub page: &'static str,
    /// The name of the part, in its two marks.
    pub name: &'static str,
    /// Its text.
    pub text: String,
}

impl Part {
    /// The text of the page with this part in it. `None` if the page lacks one of the marks.
    pub fn in_page(&self, page: &str) -> Option<String> {
        let begin = format!("<!-- written by cargo docs: {} -->\n", self.name);
        let (before, rest) = page.split_once(&begin)?;
        let (_, after) = rest.split_once("<!-- end -->\n")?;
        Some(format!("{before}{begin}\n{}\n<!-- end -->\n{after}", self.text))
    }
}

/// All generated parts. `schema` is the text of docs/reference/status.schema.json.
pub fn parts(schema: &str) -> Vec<Part> {
    let part = |page, name, text| Part { page, name, text };
    vec![
        part("docs/reference/configuration.md", "settings", settings()),
        part("docs/reference/configuration.md", "defaults", format!("```toml\n{}```\n", defaults())),
        part("docs/reference/script-settings.md", "keys", rows(["key", "meaning"], scripts::KEYS)),
        part(
            "docs/reference/script-settings.md",
            "settings",
            rows(["setting", "meaning"], scripts::SETTINGS),
        ),
        part(
            "docs/reference/script-settings.md",
            "variables",
            rows(["variable", "value"], scripts::VARIABLES),
        ),
        part("docs/reference/exit-codes.md", "exit codes", exit_codes()),
        part("docs/reference/journal.md", "events", events::reference()),
        part("docs/reference/json.md", "diagnoses", diagnoses::reference()),
        part("docs/reference/states.md", "example of doctor", diagnoses::example()),
        part("docs/reference/status.md", "fields", schema::fields(schema)),
    ]
}

/// The example of packages: all defaults, every value as a comment.
pub(crate) fn example_configuration() -> String {
    let mut text = String::from(
        "# The configuration of scw-agent. What stands here are the defaults: nothing must be configured.\n# To change a value, remove the # before it and before its [section]; then: scw-agent config check\n\n",
    );
    for line in defaults().lines() {
        let mark = if line.is_empty() || line.starts_with('#') { "" } else { "#" };
        text.push_str(&format!("{mark}{line}\n"));
    }
    text
}

fn settings() -> String {
    let defaults = Settings::default();
    let mut sections: Vec<_> = KEYS.iter().map(|key| key.section).collect();
    sections.dedup();
    let of_section = |section: &&str| {
        let keys = KEYS.iter().filter(|key| key.section == *section);
        let rows = keys.map(|key| {
            vec![format!("`{}`", key.name), format!("`{}`", (key.value)(&defaults)), key.about.to_owned()]
        });
        format!("### [{section}]\n\n{}", table(&["setting", "default", "meaning"], rows))
    };
    sections.iter().map(of_section).collect::<Vec<_>>().join("\n")
}

fn exit_codes() -> String {
    let rows = Exit::MEANINGS
        .iter()
        .map(|(exit, meaning)| vec![format!("`{}`", *exit as u8), (*meaning).to_owned()]);
    table(&["exit code", "meaning"], rows)
}

/// A table of what the user types, or of names, and what it means.
fn rows(head: [&str; 2], rows: Rows<'_>) -> String {
    let names =
        |names: &str| names.split(", ").map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    table(&head, rows.iter().map(|(name, means)| vec![names(name), (*means).to_owned()]))
}

/// A table of Markdown.
pub(crate) fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        let cells: Vec<_> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

//! Writes the table in docs/reference/states.md from the rows that the test tries.

use std::fmt::Write;

use crate::common::write_table;

use super::Make;
use super::rows::rows;

#[test]
fn the_table_of_states_is_documented() {
    let mut text = "\n| the state | shown by `status`, `--json` | exit codes: status, --json, --wait, doctor | in the journal | on the console |\n|---|---|---|---|---|\n".to_owned();
    for row in rows() {
        let codes = row.codes.map(|code| code.to_string()).join(", ");
        let journal =
            if row.journal.is_empty() { "–".to_owned() } else { format!("… {} …", row.journal) };
        let console = match row.make {
            Make::Script(key, _) => format!("`scw-agent: {key}: …`, with what happened"),
            _ => "–".to_owned(),
        };
        writeln!(text, "| {} | … {} … | {codes} | {journal} | {console} |", row.what, row.shows)
            .expect("text");
    }
    write_table("docs/reference/states.md", "the_table_of_states_is_documented", &text);
}

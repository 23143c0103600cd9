//! Writes the table in docs/reference/scripts.md from the rows that the tests try.

use std::fmt::Write;

use super::rows::{CloudInit, ROWS};
use crate::common::write_table;

fn table() -> String {
    let mut text = "\n| the script | scw-agent | cloud-init |\n|---|---|---|\n".to_owned();
    for row in ROWS {
        let cloud_init = match row.cloud_init {
            CloudInit::Exit(0) => "success".to_owned(),
            CloudInit::Exit(code) => format!("failed: {code}"),
            CloudInit::NoProgram => "failed: cannot be executed".to_owned(),
            CloudInit::Ignored => "passed over".to_owned(),
            CloudInit::NotTried(why) => format!("not tried: {why}"),
        };
        let outcome = match row.outcome {
            "exit code 0" => "success",
            outcome => outcome,
        };
        writeln!(text, "| {} | {outcome} | {cloud_init} |", row.what.replace('|', "\\|")).expect("text");
    }
    text
}

#[test]
fn the_table_of_scripts_is_documented() {
    write_table("docs/reference/scripts.md", "the_table_of_scripts_is_documented", &table());
}

//! Writes the tables in docs/reference/host-keys.md from the rows that the tests try.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use scw_images::Kit;

use super::{Expected, Row, rows, rows_files, rows_odd};

const BEGIN: &str =
    "<!-- the tables are written by the test `the_table_of_host_keys_is_documented`: begin -->\n";
const END: &str = "<!-- end -->\n";

fn document() -> PathBuf {
    Kit::checkout().join("docs/reference/host-keys.md")
}

fn tables() -> String {
    let mut text = String::new();
    for (title, rows) in [
        ("sshd's configuration", rows::CONFIGURATION),
        ("Key files", rows_files::FILES),
        ("Rare ones", rows_odd::ODD),
    ] {
        write!(text, "\n### {title}\n\n| | kept | made | served and published |\n|---|---|---|---|\n")
            .expect("text");
        for row in rows {
            line(&mut text, &row.what.replace('|', "\\|"), row, &row.expected);
            for (releases, expected) in row.exceptions {
                let releases = releases.join(" and ");
                line(&mut text, &format!("↳ with OpenSSH {releases}"), row, expected);
            }
        }
    }
    text + "\n"
}

fn line(text: &mut String, what: &str, row: &Row, expected: &Expected) {
    let names = |names: &str| match names {
        "" => String::new(),
        "DEFAULTS" => "all".to_owned(),
        names => match names.strip_prefix("DEFAULTS-") {
            Some(name) => format!("all but {name}"),
            None => names.replace("of ours", "of\u{a0}ours").split(' ').collect::<Vec<_>>().join(", "),
        },
    };
    let mut served = names(expected.served);
    if served.is_empty() {
        served = "sshd cannot start".to_owned();
    }
    if expected.fails {
        served += "; the unit fails and says why";
    }
    if row.clone_fails {
        served += "; a clone says what it cannot replace";
    }
    let cells = [what.to_owned(), names(expected.kept), names(expected.made), served];
    writeln!(text, "| {} |", cells.join(" | ")).expect("text");
}

#[test]
fn the_table_of_host_keys_is_documented() {
    let text = fs::read_to_string(document()).expect("the document");
    let (before, rest) = text.split_once(BEGIN).expect("the mark before the tables");
    let (_, after) = rest.split_once(END).expect("the mark after the tables");
    let expected = format!("{before}{BEGIN}{}{END}{after}", tables());
    if std::env::var_os("SCW_WRITE").is_some() {
        fs::write(document(), &expected).expect("written");
    }
    assert!(
        text == expected,
        "docs/reference/host-keys.md is not current: run this test with SCW_WRITE=1, then review the change"
    );
}

//! `scw-userdata` beside the original: lines of old scripts, run with either. The table in docs/reference/scw-userdata.md is made of it.
//!
//! The original is a shell script around curl. It is played by one that does what is known of it.

mod cases;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use scw_stage::{World, write_program};

use crate::machine::*;
use cases::{CASES, Case};

/// The original: it lists, reads or sets, never looks at the status, and prints with `echo`.
const ORIGINAL: &str = "#!/bin/sh
ask() { curl --silent --noproxy '*' --local-port 1-1023 \"$@\"; }
url=http://169.254.42.42/user_data
if [ -n \"$2\" ]; then
    ask --request PATCH --header 'Content-Type: text/plain' --data-binary \"$2\" \"$url/$1\"
else
    answer=$(ask \"$url/$1\")
    echo \"$answer\"
fi
exit 0
";
const DOCUMENT: &str = "docs/reference/scw-userdata.md";
const BEGIN: &str =
    "<!-- the table is written by the test `userdata_beside::the_table_of_lines_is_documented`: begin -->\n";
const END: &str = "<!-- end -->\n";

/// What a line did.
#[derive(PartialEq, Eq)]
struct Outcome {
    printed: String,
    code: i32,
    written: Vec<String>,
}

impl Outcome {
    fn of(world: &World, case: &Case, folder: &str) -> Self {
        for (key, value) in case.stored {
            world.standin().set_user_data(key, *value);
        }
        world.standin().clear_requests();
        let path = format!("{folder}:/usr/sbin:/usr/bin:/sbin:/bin");
        let ended = run(world.command("sh").env("PATH", path).args(["-c", case.line]));
        let requests = world.standin().requests();
        let writes = requests
            .iter()
            .filter(|request| request.method != "GET" && request.status.is_some_and(|status| status < 300));
        let written: Vec<_> = writes
            .map(|request| match &*request.method {
                "DELETE" => format!("deletes {}", request.target),
                _ => format!("sets {} to {:?}", request.target, String::from_utf8_lossy(&request.body)),
            })
            .collect();
        for request in requests.iter().filter(|request| request.method == "PATCH") {
            world.standin().delete_user_data(request.target.trim_start_matches("/user_data/"));
        }
        for (key, _) in case.stored {
            world.standin().delete_user_data(key);
        }
        Self { printed: ended.out, code: ended.code, written }
    }

    /// The outcome as text of a table's cell.
    fn text(&self) -> String {
        let mut parts = self.written.clone();
        let printed: String = format!("{:?}", self.printed).chars().take(60).collect();
        parts.extend((!self.printed.is_empty()).then(|| format!("prints {printed}")));
        parts.extend((self.code != 0).then(|| format!("exit status {}", self.code)));
        if parts.is_empty() { "nothing".to_owned() } else { parts.join("; ") }
    }
}

/// The stored values as a table's cell.
fn stored(case: &Case) -> String {
    let values = case.stored.iter().map(|(key, value)| cell(&format!("{key}={}", value.escape_ascii())));
    values.collect::<Vec<_>>().join(", ")
}

fn cell(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|").replace('\n', "⏎").replace('`', "'"))
}

#[test]
fn the_table_of_lines_is_documented() {
    assert!(CASES.len() >= 80, "{} cases", CASES.len());
    World::builder().run(|world| {
        let daemon = start_daemon(world);
        write_program("/root/original", ORIGINAL);
        fs::write("/root/file", "a file\n").expect("written");
        for (folder, program) in [("/root/old", "/root/original"), ("/root/new", userdata_program())] {
            fs::create_dir(folder).expect("made");
            std::os::unix::fs::symlink(program, format!("{folder}/scw-userdata")).expect("linked");
        }
        let (mut same, mut differing) = (String::new(), String::new());
        let mut wrong = Vec::new();
        for case in CASES {
            let (old, new) = (Outcome::of(world, case, "/root/old"), Outcome::of(world, case, "/root/new"));
            if (old == new) != case.why.is_empty() {
                wrong.push(format!("{}: {} / {} ({})", case.line, old.text(), new.text(), case.why));
            }
            let result = if old == new {
                writeln!(same, "| {} | {} | {} |", stored(case), cell(case.line), cell(&new.text()))
            } else {
                writeln!(differing, "| {} | {} | {} | {} | {} |", stored(case),
                    cell(case.line), cell(&old.text()), cell(&new.text()), case.why)
            };
            result.expect("text");
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        check_document(&format!(
            "{} lines have the same result:\n\n| stored | line | result |\n|---|---|---|\n{same}\n{} lines have another one:\n\n| stored | line | original | here | why |\n|---|---|---|---|---|\n{differing}\n",
            same.lines().count(),
            differing.lines().count()
        ));
        daemon.terminate();
    });
}

fn check_document(table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let text = fs::read_to_string(&path).expect("the document");
    let (before, rest) = text.split_once(BEGIN).expect("the table's beginning");
    let (_, after) = rest.split_once(END).expect("the table's end");
    let expected = format!("{before}{BEGIN}{table}{END}{after}");
    if std::env::var_os("SCW_WRITE").is_some() {
        fs::write(path, &expected).expect("written");
    }
    assert!(text == expected, "{DOCUMENT} is outdated: run this test with SCW_WRITE=1 and check the change");
}

//! What a value of the key `cloud-init` is, for the agent and for cloud-init itself. Both get the same bytes. `cloud_init.py` runs the
//! data source, the processor and the handlers of the distribution's package. Each difference has a reason. docs/reference/cloud-init.md has
//! the table.

mod messages;
mod parts;
mod plain_values;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use base64ct::{Base64, Encoding};
use flate2::Compression;
use flate2::write::GzEncoder;
use scw_agent::scripts::{Preview, SetupSettings};
use scw_stage::World;
use serde_json::Value;

use crate::machine::*;

const SCRIPT: &[u8] = b"#!/bin/sh\ntrue\n";
const BEGIN: &str = "<!-- the table is written by the test `the_table_of_forms_is_documented`: begin -->\n";
const END: &str = "<!-- end -->\n";
const BLANK_AGAINST_WARNING: &str = "there is nothing to run";

/// One form of a value.
struct Row {
    what: &'static str,
    value: Vec<u8>,
    /// The result of `setup validate`; of an error message only the beginning.
    agent: &'static str,
    /// What cloud-init does with the value.
    cloud_init: &'static str,
    /// Why the two differ.
    why: &'static str,
}

/// A row without a reason.
fn row(what: &'static str, value: impl Into<Vec<u8>>, agent: &'static str, cloud_init: &'static str) -> Row {
    Row { what, value: value.into(), agent, cloud_init, why: "" }
}

impl Row {
    /// Adds the reason why the two differ.
    fn because(self, why: &'static str) -> Self {
        Self { why, ..self }
    }

    /// Whether both agree: the value runs, is handled only by cloud-init, is nothing, or is none of these.
    fn agrees(&self) -> bool {
        match self.agent.split(':').next().unwrap_or_default() {
            "passed over" => self.cloud_init.starts_with("taken as "),
            "fails" => ["ignored", "fails", "cannot be executed"].contains(&self.cloud_init),
            other => self.cloud_init == other,
        }
    }
}

fn rows() -> Vec<Row> {
    let plain_values = [
        plain_values::scripts(),
        plain_values::encoded_scripts(),
        plain_values::other(),
        plain_values::cloud_config(),
        plain_values::other_cloud_init_formats(),
    ];
    plain_values.into_iter().chain([parts::types(), messages::shapes()]).flatten().collect()
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("finished")
}

pub(crate) fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(order).collect()
}

#[test]
fn s5_value_forms_are_judged_as_by_cloud_init() {
    World::builder().with_cloud_init().run(|world| {
        let rows = rows();
        assert!(rows.len() >= 40);
        let (ours, theirs) = (agent_results(world, &rows), cloud_init_results(world, &rows));
        let mut wrong = String::new();
        for ((row, ours), theirs) in rows.iter().zip(ours).zip(theirs) {
            if !ours.starts_with(row.agent)
                || row.agent.len() < ours.len() && !row.agent.starts_with("fails:")
            {
                writeln!(wrong, "{}: scw-agent: {ours}, expected {}", row.what, row.agent).expect("text");
            }
            if theirs["seen"] != row.cloud_init {
                writeln!(wrong, "{}: cloud-init: {theirs}, expected {}", row.what, row.cloud_init)
                    .expect("text");
            }
            if theirs["fetched"] != is_fetched(row) {
                writeln!(wrong, "{}: the data source: {theirs}", row.what).expect("text");
            }
            if row.agrees() != row.why.is_empty() {
                writeln!(
                    wrong,
                    "{}: a row must have a reason if and only if the two differ: {}",
                    row.what, row.why
                )
                .expect("text");
            }
        }
        assert_eq!(wrong, "");
    });
}

/// Whether cloud-init's data source for Scaleway accepts the value: it accepts text only.
fn is_fetched(row: &Row) -> bool {
    std::str::from_utf8(&row.value).is_ok()
}

/// The result of `setup validate` for each row.
fn agent_results(world: &World, rows: &[Row]) -> Vec<String> {
    let file = |number: usize| format!("/root/{number}/cloud-init");
    for (number, row) in rows.iter().enumerate() {
        fs::create_dir_all(format!("/root/{number}")).expect("made");
        fs::write(file(number), &row.value).expect("written");
    }
    let files: Vec<_> = (0..rows.len()).map(file).collect();
    let mut words = vec!["setup", "validate", "--json"];
    words.extend(files.iter().map(String::as_str));
    let validated = agent(world, &words);
    assert_eq!(validated.code, 1, "{}", validated.err);
    let document: Value = serde_json::from_str(&validated.out).expect("JSON");
    let files = document["files"].as_array().expect("a list");
    assert_eq!(files.len(), rows.len());
    files.iter().map(|file| part_results(&file["parts"])).collect()
}

/// The results for the parts of a value, as text.
fn part_results(parts: &Value) -> String {
    let parts = parts.as_array().expect("a list").iter().map(|part| match part["fate"].as_str() {
        Some("runs") if part["kind"] == "startup" => "runs at every boot".to_owned(),
        Some("runs") => "runs".to_owned(),
        Some("left-to-cloud-init") => format!("passed over: {}", part["what"].as_str().expect("a name")),
        _ => format!("fails: {}", part["why"].as_str().expect("a reason")),
    });
    let parts: Vec<_> = parts.collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

/// The result of cloud-init for each row.
fn cloud_init_results(world: &World, rows: &[Row]) -> Vec<Value> {
    let mut input = String::new();
    for (number, row) in rows.iter().enumerate() {
        world.standin().set_user_data(&format!("form-{number}"), row.value.clone());
        let hexadecimal: String = row.value.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(input, "http://169.254.42.42/user_data/form-{number} {hexadecimal}").expect("text");
    }
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/laws/cloud_init_forms/cloud_init.py");
    let mut command = world.command("/usr/bin/python3");
    command.arg(program).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut python = command.spawn().expect("started");
    // The program reads all of its input before it writes.
    python.stdin.take().expect("its input").write_all(input.as_bytes()).expect("written");
    let output = python.wait_with_output().expect("ended");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn markdown_table() -> String {
    let mut text =
        "\n| the value | scw-agent | cloud-init | why they differ |\n|---|---|---|---|\n".to_owned();
    for row in rows() {
        let preview = Preview::of("cloud-init", &row.value, &SetupSettings::default());
        let agent = part_results(&serde_json::to_value(&preview.parts).expect("JSON"));
        let cloud_init = match row.cloud_init {
            taken if taken.starts_with("taken as") => "its own",
            other => other,
        };
        let mark = if is_fetched(&row) { "" } else { " ¹" };
        writeln!(text, "| {} | {agent} | {cloud_init}{mark} | {} |", row.what, row.why).expect("text");
    }
    text + "\n"
}

#[test]
fn the_table_of_forms_is_documented() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/cloud-init.md");
    let text = fs::read_to_string(&document).expect("the document");
    let (before, rest) = text.split_once(BEGIN).expect("the table's beginning");
    let (_, after) = rest.split_once(END).expect("the table's end");
    let expected = format!("{before}{BEGIN}{}{END}{after}", markdown_table());
    if std::env::var_os("SCW_WRITE").is_some() {
        fs::write(document, &expected).expect("written");
    }
    assert!(
        text == expected,
        "docs/reference/cloud-init.md is outdated: run this test with SCW_WRITE=1 and check the change"
    );
}

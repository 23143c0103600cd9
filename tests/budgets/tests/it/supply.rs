//! The sources and licences of all crates, including those of the tests, compared with deny.toml. These are the checks of cargo-deny that need
//! no database of advisories, for a machine that does not have cargo-deny.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use toml::Table;

fn allowed(section: &str, key: &str) -> Vec<String> {
    let deny: Table = include_str!("../../../../deny.toml").parse().expect("TOML");
    let list = deny[section][key].as_array().expect("a list");
    list.iter().map(|one| one.as_str().expect("a string").to_owned()).collect()
}

fn crates() -> Vec<Value> {
    let mut cargo = Command::new(env!("CARGO"));
    // As `graph.targets` in deny.toml: the processors differ in no dependency.
    cargo.args(["metadata", "--locked", "--format-version", "1"]);
    cargo.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let output = cargo.output().expect("cargo");
    assert!(
        output.status.success(),
        "Cargo.lock is not current: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"].as_array_mut().map(std::mem::take).expect("packages")
}

/// Whether an SPDX expression permits a choice in which all licences are allowed.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let good = either(&words, &mut at, allowed);
    good && at == words.len()
}

fn either(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut good = all(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        good |= all(words, at, allowed);
    }
    good
}

fn all(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut good = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        good &= one(words, at, allowed);
    }
    good
}

fn one(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let word = words.get(*at).copied().unwrap_or_default();
    *at += 1;
    if word == "(" {
        let good = either(words, at, allowed);
        *at += 1;
        return good;
    }
    if words.get(*at) == Some(&"WITH") {
        // A licence with an exception is another licence, and none of these is allowed.
        *at += 2;
        return false;
    }
    allowed.iter().any(|licence| licence == word)
}

#[test]
fn licence_expression_is_evaluated() {
    let allowed = ["MIT".to_owned(), "Unicode-3.0".to_owned()];
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT", true),
        ("MIT/Apache-2.0", true),
        ("MIT AND GPL-3.0-only", false),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("(GPL-3.0-only OR Apache-2.0) AND Unicode-3.0", false),
        ("MIT WITH Some-exception", false),
        ("MIT MIT", false),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}

#[test]
fn every_crate_has_an_allowed_licence_and_source() {
    let (licences, registries) = (allowed("licenses", "allow"), allowed("sources", "allow-registry"));
    let crates = crates();
    assert!(crates.len() > 60, "{}", crates.len());
    for one in crates {
        let name = one["name"].as_str().expect("a name");
        let licence = one["license"].as_str().unwrap_or_default();
        assert!(is_allowed(licence, &licences), "{name}: deny.toml does not allow {licence:?}");
        let registry = one["source"].as_str().map(|source| source.trim_start_matches("registry+").to_owned());
        assert!(
            registry.as_ref().is_none_or(|registry| registries.contains(registry)),
            "{name} comes from {registry:?}, which deny.toml does not allow"
        );
    }
}

#[test]
fn no_crate_has_two_versions() {
    // Unlike the metadata, the tree has no crate that only a feature of an unused crate would need.
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--workspace", "--edges", "normal,build,dev", "--prefix", "none"]);
    let output = cargo.args(["--target", "x86_64-unknown-linux-gnu"]).output().expect("cargo");
    let tree = String::from_utf8(output.stdout).expect("UTF-8");
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in tree.lines() {
        let mut words = line.split(' ');
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            versions.entry(name).or_default().insert(version);
        }
    }
    assert!(versions.len() > 60, "{tree}");
    versions.retain(|_, versions| versions.len() > 1);
    assert!(versions.is_empty(), "{versions:?}");
}

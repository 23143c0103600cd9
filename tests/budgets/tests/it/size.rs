//! The sizes of the programs, and the number of crates in them.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use scw_budgets::{AGENT, CRATES};
use scw_stage::Programs;

#[test]
fn programs_stay_small() {
    let programs = Programs::build().expect("built");
    let size = |path| fs::metadata(path).expect("there").len();
    AGENT.check(size(&programs.agent));
}

#[test]
fn programs_have_few_crates() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", "scw-agent", "--edges", "normal,no-proc-macro"])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p}"])
        .output()
        .expect("cargo");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).expect("UTF-8");
    let crates: BTreeSet<&str> = tree.lines().filter(|line| !line.starts_with("scw-agent ")).collect();
    let names: BTreeSet<&str> = crates.iter().filter_map(|line| line.split(' ').next()).collect();
    CRATES.check(crates.len() as u64);
    assert_eq!(crates.len(), names.len(), "a crate is linked in two versions: {crates:#?}");
}

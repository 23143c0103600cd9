//! The steps of the test command: a failed step does not prevent the others, and the end lists each step, target and test that failed.
//! The test uses the real cargo with a small crate of its own, and builds nothing of this checkout.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::machine::run;

/// A crate with a failing test in its library, two in a program of its own, and a test program that a signal ends.
const CRATE: [(&str, &str); 4] = [
    ("Cargo.toml", "[package]\nname = \"small\"\nedition = \"2024\"\n[lib]\ndoctest = false\n[workspace]\n"),
    (
        "src/lib.rs",
        "#[test]\nfn works() {}\n#[test]\nfn fails() { panic!(\"failures:\\n    of the message\") }\n",
    ),
    (
        "tests/one.rs",
        "#[test]\nfn works() {}\n#[test]\nfn fails_too() { panic!() }\nmod inner {\n#[test]\nfn fails_inside() { panic!() }\n}\n",
    ),
    ("tests/two.rs", "#[test]\nfn aborts() { std::process::abort() }\n"),
];

/// The steps, as tests/run has them.
const STEPS: &str = "set -eu; . \"$1/tests/steps\"
step 'a step that fails' false
step 'the tests' \"$2\" test --offline --no-fail-fast
step 'one that works' echo it ran
finish
echo all is well";

#[test]
fn test_command_runs_each_step_and_lists_failures() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("test-command");
    for (name, text) in CRATE {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }
    let steps = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", env!("CARGO_MANIFEST_DIR"), env!("CARGO")]).current_dir(&folder);
        run(command.env("CARGO_TARGET_DIR", folder.join("target")))
    };

    let ended = steps(STEPS);
    assert_eq!(ended.code, 1, "{}{}", ended.out, ended.err);
    let (before, failed) = ended.out.split_once("\nfailed:\n").expect("a list of what failed");
    assert!(before.contains("\ntest result: FAILED. 1 passed; 2 failed;"), "{before}");
    assert!(before.contains("\n== one that works\nit ran\n"), "{before}");
    assert_eq!(
        failed.lines().map(str::trim_start).collect::<Vec<_>>(),
        [
            "a step that fails (exit code 1)",
            "the tests (exit code 101)",
            "test fails (unittests src/lib.rs)",
            "test fails_too (tests/one.rs)",
            "test inner::fails_inside (tests/one.rs)",
            "target `--lib`",
            "target `--test one`",
            "target `--test two`",
        ]
    );

    // The test command itself uses these steps.
    let command = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/run")).expect("read");
    assert!(command.contains("\nstep 'tests' cargo test --workspace --locked --no-fail-fast\n"), "{command}");
    assert!(command.ends_with("\nfinish\necho\necho 'all is well'\n"), "{command}");

    let ended = steps("set -eu; . \"$1/tests/steps\"; step works true; finish; echo all is well");
    assert_eq!((ended.code, &*ended.out), (0, "\n== works\nall is well\n"), "{}", ended.err);
}

#[test]
fn test_command_reports_unknown_arguments() {
    let with = |arguments: &[&str]| {
        run(Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/run")).args(arguments))
    };
    let help = with(&["--help"]);
    assert_eq!((help.code, &*help.err), (0, ""));
    assert!(help.out.contains("tests/run quick"), "{}", help.out);
    for arguments in [&["slow"][..], &["quick", "quick"], &["--help", "quick"], &[""]] {
        let ended = with(arguments);
        assert_eq!((ended.code, &*ended.out, ended.err), (2, "", help.out.clone()), "{arguments:?}");
    }
}

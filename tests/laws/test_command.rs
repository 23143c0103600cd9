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
    for line in [
        "background 'image tests' cargo test -p scw-images --locked --no-fail-fast",
        "step 'tests' cargo test --workspace --exclude scw-images --locked --no-fail-fast",
    ] {
        assert!(command.lines().any(|own| own == line), "{line}");
    }
    assert!(command.ends_with("\njoin\nfinish\necho\necho 'all is well'\n"), "{command}");

    let ended = steps("set -eu; . \"$1/tests/steps\"; step works true; finish; echo all is well");
    assert_eq!((ended.code, &*ended.out), (0, "\n== works\nall is well\n"), "{}", ended.err);
}

/// Steps beside one that ends only when one of them has run.
const BESIDE: &str = "set -eu; . \"$1/tests/steps\"
mkfifo pipe
background 'beside' sh -c 'cat pipe; echo its end; exit 3'
step 'another' sh -c 'echo \"from the other\" >pipe'
join
finish";

/// The test command ends while the step in the background runs.
const CUT_OFF: &str = "set -eu; . \"$1/tests/steps\"
background 'beside' sh -c 'sleep 1d & echo $! >child; wait'
until [ -s child ]; do sleep 0.05; done
exit 4";

#[test]
fn test_command_runs_a_step_beside_the_others() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("test-command-beside");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("made");
    let steps = |script: &str| {
        let mut command = Command::new("sh");
        run(command.args(["-c", script, "sh", env!("CARGO_MANIFEST_DIR")]).current_dir(&folder))
    };
    let ended = steps(BESIDE);
    assert_eq!(ended.code, 1, "{}{}", ended.out, ended.err);
    let end = "\n== another\n\n== beside\nfrom the other\nits end\n\nfailed:\n  beside (exit code 3)\n";
    assert!(ended.out.ends_with(end), "{}", ended.out);

    assert_eq!(steps(CUT_OFF).code, 4);
    let child = fs::read_to_string(folder.join("child")).expect("read");
    while fs::read_to_string(format!("/proc/{}/stat", child.trim())).is_ok_and(|stat| !stat.contains(") Z "))
    {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
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

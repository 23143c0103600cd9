//! Short runs of the soak for the test command: one day, and some seconds of the socket. The month and the half hour run only on request.

use std::process::Command;

fn soak(words: &[&str]) {
    let ended = Command::new(env!("CARGO_BIN_EXE_scw-soak")).args(words).output().expect("run");
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    println!("{out}");
    assert!(ended.status.success() && out.ends_with("all promises were kept\n"), "{out}{err}");
}

#[test]
fn h4_published_value_true_after_a_day_of_faults() {
    soak(&["--days", "1", "--speed", "800"]);
}

#[test]
fn hostile_clients_harm_no_other_client() {
    soak(&["socket", "--minutes", "0.2"]);
}

#[test]
fn absurd_duration_is_refused_without_a_panic() {
    for words in [
        &["--days", "1e300"][..],
        &["--days", "-1"],
        &["--days", "NaN"],
        &["--speed", "0"],
        &["--speed", "inf"],
        &["socket", "--minutes", "1e300"],
    ] {
        let ended = Command::new(env!("CARGO_BIN_EXE_scw-soak")).args(words).output().expect("run");
        let err = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.code() == Some(2) && err.contains("must be above 0"), "{words:?}: {err}");
    }
}

//! The soak as the test command runs it: a day of it, and its socket for some seconds. The month and the half hour are for whoever asks.

use std::process::Command;

fn soak(words: &[&str]) {
    let ended = Command::new(env!("CARGO_BIN_EXE_scw-soak")).args(words).output().expect("run");
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    println!("{out}");
    assert!(ended.status.success() && out.ends_with("all that is promised held\n"), "{out}{err}");
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
fn a_length_of_time_beyond_use_is_refused_and_no_panic() {
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

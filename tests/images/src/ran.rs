//! The result of a program that has ended.

use std::process::Command;

/// The result of a program that has ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Ran {
    /// Runs a command, and waits for its end.
    pub fn run(command: &mut Command) -> Ran {
        let output = command.output().expect("the program can be started");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Whether the exit code was 0.
    pub fn is_ok(&self) -> bool {
        self.code == Some(0)
    }

    /// The standard output without surrounding white space. Panics if the exit code was not 0.
    #[track_caller]
    pub fn ok(self, what: &str) -> String {
        assert!(self.is_ok(), "{what}\nended with {:?}\n{}{}", self.code, self.out, self.err);
        self.out.trim().to_owned()
    }
}

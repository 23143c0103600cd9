//! What a program that ran to its end left.

use std::process::Command;

/// What a program that ran to its end left.
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
    /// Runs a command to its end.
    pub fn run(command: &mut Command) -> Ran {
        let output = command.output().expect("the program can be started");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Whether it ended with exit code 0.
    pub fn is_ok(&self) -> bool {
        self.code == Some(0)
    }

    /// Its standard output, without white space around it. Panics if it was not successful.
    #[track_caller]
    pub fn ok(self, what: &str) -> String {
        assert!(self.is_ok(), "{what}\nended with {:?}\n{}{}", self.code, self.out, self.err);
        self.out.trim().to_owned()
    }
}

//! The commands. `check` is called by ssh; the others are for people.
//!
//! | module | content |
//! |---|---|
//! | `arguments` | the command line |
//! | `exit` | the exit codes |
//! | `check` | ssh's `KnownHostsCommand` |
//! | `look_up` | a host that a person named |
//! | `show`, `verify`, `write` | its published fingerprints; its offered keys beside them; lines of known_hosts |
//! | `setup`, `doctor` | the user's ssh configuration; what is wrong with the whole |

pub mod arguments;
mod check;
mod doctor;
pub mod exit;
mod look_up;
mod setup;
mod show;
mod verify;
mod write;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use exit::Exit;

/// Runs the program.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let is_help = !error.use_stderr();
            let printed = error.print();
            return if is_help && printed.is_ok() { Exit::Success } else { Exit::Usage }.into();
        }
    };
    let exit = match arguments.command {
        Command::Check(options) => check::run(&options),
        Command::Setup(options) => setup::run(&options),
        Command::Show(options) => show::run(&options),
        Command::Verify(options) => verify::run(&options),
        Command::Doctor(options) => doctor::run(&options),
        Command::Write(options) => write::run(&options),
        Command::Completions { shell } => print(completion(shell).as_bytes()),
    };
    exit.into()
}

/// The completions for a shell.
pub fn completion(shell: clap_complete::Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut arguments::command(), arguments::NAME, &mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    // clap_complete 4.6 gives a command two labels in bash if the program's name has a hyphen. With both, no option is completed.
    text.replace(&arguments::NAME.replace('-', "__subcmd__"), &arguments::NAME.replace('-', "__"))
}

/// Writes to standard output. A reader that closed it early is no failure.
fn print(text: &[u8]) -> Exit {
    let mut output = io::stdout().lock();
    match output.write_all(text).and_then(|()| output.flush()) {
        Ok(()) => Exit::Success,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
        Err(error) => {
            say(&format!("cannot write to standard output: {error}"));
            Exit::Failure
        }
    }
}

/// Writes a message to standard error.
fn say(message: &str) {
    // There is nowhere else to say it.
    drop(writeln!(io::stderr(), "{}: {message}", arguments::NAME));
}

/// A message, and its exit code.
fn fail(message: &dyn std::fmt::Display, exit: Exit) -> Exit {
    say(&message.to_string());
    exit
}

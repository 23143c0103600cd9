//! The program: runs a stand-in with options from the command line until SIGTERM or SIGINT.

mod cli;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use scw_standin::{Options, Standin};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    match cli::parse(lexopt::Parser::from_env()) {
        Ok(cli::Task::Print(text)) => match io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(1, &error),
        },
        Ok(cli::Task::Serve(options)) => match serve(*options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(1, &*error),
        },
        Err(error) => fail(2, &error),
    }
}

fn fail(code: u8, error: &dyn Display) -> ExitCode {
    eprintln!("scw-standin: {error}");
    ExitCode::from(code)
}

fn serve(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        // The signal handlers are installed first, so that a signal always ends the server cleanly.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let standin = Standin::start(options)?;
        for address in standin.addresses() {
            writeln!(io::stdout(), "listening on {address}")?;
        }
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}

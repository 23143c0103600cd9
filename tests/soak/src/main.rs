//! `cargo soak`: runs the real daemon through a month of changes, deletions, refused requests and network outages. libfaketime makes the
//! daemon's clock run faster. It reports the longest time for which the published value was wrong, and the use of memory and descriptors.
//!
//! `cargo soak socket`: half an hour of normal and hostile clients at the daemon's socket.
//!
//! `cargo soak overwrites`: another program sets all user data at random moments, so that the published value is gone. It reports how long it
//! takes until the value is right again, and whether a document said otherwise.
//!
//! All need root. Exit code 0: all promises were kept; 1: a promise was broken, which the output describes; 2: it cannot run here.

mod events;
mod month;
mod overwrites;
mod socket;
mod truth;
mod usage;

use std::process::ExitCode;
use std::str::FromStr;

use scw_stage::Programs;

const USAGE: &str = "cargo soak [--days N] [--seed S] [--speed X] | cargo soak socket [--minutes N] | cargo soak overwrites [--times N] [--look-again SECONDS]";

/// The reason why it ended early.
enum Stop {
    /// It cannot run here.
    Cannot(String),
    /// A promise was broken.
    Violated(String),
}

impl<E: std::error::Error> From<E> for Stop {
    fn from(why: E) -> Self {
        Self::Cannot(why.to_string())
    }
}

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => {
            println!("all promises were kept");
            ExitCode::SUCCESS
        }
        Err(Stop::Violated(what)) => {
            println!("violated: {what}");
            ExitCode::FAILURE
        }
        Err(Stop::Cannot(why)) => {
            eprintln!("cannot run here: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(words: &[String]) -> Result<(), Stop> {
    let kind = words.first().map(String::as_str).filter(|word| !word.starts_with('-')).unwrap_or_default();
    let mut rest = words[usize::from(!kind.is_empty())..].iter();
    let mut plan = month::Plan { days: 30.0, seed: 1, speed: 1500.0 };
    let mut minutes = 30.0;
    let (mut times, mut look_again) = (30_u16, 55.0);
    while let Some(word) = rest.next() {
        let value = rest.next().ok_or_else(|| Stop::Cannot(USAGE.to_owned()))?;
        match (kind, word.as_str()) {
            ("", "--days") => plan.days = above_zero(value, 366.0)?,
            ("", "--seed") => plan.seed = number(value)?,
            ("", "--speed") => plan.speed = above_zero(value, 100_000.0)?,
            ("socket", "--minutes") => minutes = above_zero(value, 366.0 * 1440.0)?,
            ("overwrites", "--times") => times = number(value)?,
            ("overwrites", "--look-again") => look_again = above_zero(value, 3600.0)?,
            _ => return Err(Stop::Cannot(USAGE.to_owned())),
        }
    }
    let programs = Programs::build().map_err(Stop::Cannot)?;
    match kind {
        "" => month::run(&programs, &plan),
        "socket" => socket::run(&programs, minutes),
        "overwrites" => overwrites::run(&programs, times, look_again),
        _ => Err(Stop::Cannot(USAGE.to_owned())),
    }
}

/// A positive number of at most `most`, so that a time computed from it cannot overflow.
fn above_zero(word: &str, most: f64) -> Result<f64, Stop> {
    let number: f64 = number(word)?;
    let good = number > 0.0 && number <= most;
    if good {
        Ok(number)
    } else {
        Err(Stop::Cannot(format!("{word}: must be above 0, and at most {most}; {USAGE}")))
    }
}

fn number<T: FromStr<Err: std::fmt::Display>>(word: &str) -> Result<T, Stop> {
    word.parse().map_err(|why| Stop::Cannot(format!("{word}: {why}; {USAGE}")))
}

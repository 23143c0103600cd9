//! `cargo soak`: the real daemon, with its clock sped up from outside, through a month in which others change, delete and refuse, and the
//! network goes and comes back. It says how long what is published was ever wrong, and what became of memory and descriptors.
//! `cargo soak socket`: half an hour of right and hostile callers at its socket. Needs root.
//! Exit code 0: all that is promised held; 1: it did not, and what did not is said; 2: it cannot be run here.

mod events;
mod month;
mod socket;
mod truth;
mod usage;

use std::process::ExitCode;
use std::str::FromStr;

use scw_stage::Programs;

const USAGE: &str = "cargo soak [--days N] [--seed S] [--speed X] | cargo soak socket [--minutes N]";

/// Why it ended early.
enum Stop {
    /// It cannot be run here.
    Cannot(String),
    /// Something that is promised did not hold.
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
            println!("all that is promised held");
            ExitCode::SUCCESS
        }
        Err(Stop::Violated(what)) => {
            println!("violated: {what}");
            ExitCode::FAILURE
        }
        Err(Stop::Cannot(why)) => {
            eprintln!("cannot be run here: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(words: &[String]) -> Result<(), Stop> {
    let socket = words.first().is_some_and(|word| word == "socket");
    let mut rest = words[usize::from(socket)..].iter();
    let mut plan = month::Plan { days: 30.0, seed: 1, speed: 1500.0 };
    let mut minutes = 30.0;
    while let Some(word) = rest.next() {
        let value = rest.next().ok_or_else(|| Stop::Cannot(USAGE.to_owned()))?;
        match (word.as_str(), socket) {
            ("--days", false) => plan.days = above_zero(value, 366.0)?,
            ("--seed", false) => plan.seed = number(value)?,
            ("--speed", false) => plan.speed = above_zero(value, 100_000.0)?,
            ("--minutes", true) => minutes = above_zero(value, 366.0 * 1440.0)?,
            _ => return Err(Stop::Cannot(USAGE.to_owned())),
        }
    }
    let programs = Programs::build().map_err(Stop::Cannot)?;
    if socket { socket::run(&programs, minutes) } else { month::run(&programs, &plan) }
}

/// What a length of time is made of, within bounds that no sum with the present leaves.
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

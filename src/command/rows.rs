//! Rows for people: a mark, a name, what there is to say. Colours only where they are wanted. Pure.

use std::io::IsTerminal;

/// One row's mark.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    Good,
    Waiting,
    Bad,
}

/// Rows that were written so far.
pub(super) struct Rows {
    pub(super) text: String,
    colours: bool,
}

impl Rows {
    pub(super) fn new(colours: bool) -> Self {
        Self { text: String::new(), colours }
    }

    pub(super) fn row(&mut self, mark: Mark, name: &str, what: &str) {
        let (sign, colour) = match mark {
            Mark::Good => ("✓", "32"),
            Mark::Waiting => ("…", "33"),
            Mark::Bad => ("✗", "31"),
        };
        let sign = if self.colours { format!("\x1b[{colour}m{sign}\x1b[0m") } else { sign.to_owned() };
        self.text.push_str(&format!("{sign} {:<12}  {}\n", shown(name), shown(what)));
    }

    /// A further line of the row above.
    pub(super) fn below(&mut self, what: &str) {
        self.text.push_str(&format!("{:16}{}\n", "", shown(what)));
    }
}

/// Whether standard output is a terminal whose owner has nothing against colours (no-color.org).
pub(super) fn colours_wanted() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

/// Names and messages come from elsewhere: nothing in them may reach the terminal as a control sequence.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

//! Rows for people: a mark, a name, and a text. Pure, except [`colours_wanted`].
//!
//! Names and messages come from outside, so every cell is escaped here. The colours are the only control
//! sequences of the text.

use std::io::IsTerminal;

use crate::util::printable::line;

/// The mark of a row.
#[derive(Clone, Copy)]
pub(crate) enum RowMark {
    Good,
    Waiting,
    Bad,
}

/// The text of the rows so far.
pub(crate) struct Rows {
    text: String,
    colours: bool,
}

impl Rows {
    pub(crate) fn new(colours: bool) -> Self {
        Self { text: String::new(), colours }
    }

    pub(crate) fn row(&mut self, mark: RowMark, name: &str, what: &str) {
        let (sign, colour) = match mark {
            RowMark::Good => ("✓", "32"),
            RowMark::Waiting => ("…", "33"),
            RowMark::Bad => ("✗", "31"),
        };
        let sign = if self.colours { format!("\x1b[{colour}m{sign}\x1b[0m") } else { sign.to_owned() };
        self.text.push_str(&format!("{sign} {:<12}  {}\n", line(name).to_string(), line(what)));
    }

    /// Adds a line to the row above.
    pub(crate) fn below(&mut self, what: &str) {
        self.text.push_str(&format!("{:16}{}\n", "", line(what)));
    }

    /// Adds a line without a mark, such as a heading.
    pub(crate) fn plain(&mut self, what: &str) {
        self.text.push_str(&format!("{}\n", line(what)));
    }

    /// The text of all rows.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// Whether standard output is a terminal and the user did not disable colours (no-color.org).
pub(crate) fn colours_wanted() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

//! The output on the terminal. It has colours only on a terminal, and not if `NO_COLOR` is set.

use std::io::IsTerminal;

/// Prints the steps.
#[derive(Debug)]
pub(crate) struct Screen {
    colours: bool,
}

impl Default for Screen {
    fn default() -> Screen {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Screen { colours: wanted && std::io::stdout().is_terminal() }
    }
}

impl Screen {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn title(&self, text: &str) {
        println!("{}", self.paint("1", text));
    }

    pub(crate) fn note(&self, text: &str) {
        println!("{}", self.paint("33", text));
    }

    /// Prints a step, whether it succeeded, and what it found.
    pub(crate) fn step(&self, held: bool, what: &str, seen: &[String]) {
        let mark = if held { self.paint("32", "✓") } else { self.paint("31", "✗") };
        println!("{mark} {}", self.paint("1", what));
        for line in seen {
            println!("    {}", if held { self.paint("2", line) } else { line.clone() });
        }
    }

    /// Prints how many steps succeeded.
    pub(crate) fn verdict(&self, held: usize, of: usize) {
        let (code, text) = match held == of {
            true => ("32", format!("all {of} steps held")),
            false => ("31", format!("{held} of {of} steps held")),
        };
        println!("{}", self.paint(code, &text));
    }

    /// Prints the output of a program.
    pub(crate) fn output_of(&self, who: &str, text: &str) {
        println!("--- output of {who} ---\n{}\n---", text.trim_end());
    }
}

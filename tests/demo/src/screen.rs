//! What the person sees. Colours only on a terminal, and not where `NO_COLOR` is set.

use std::io::IsTerminal;

/// Prints the story.
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

    /// A step that held or did not, and what was seen.
    pub(crate) fn step(&self, held: bool, what: &str, seen: &[String]) {
        let mark = if held { self.paint("32", "✓") } else { self.paint("31", "✗") };
        println!("{mark} {}", self.paint("1", what));
        for line in seen {
            println!("    {}", if held { self.paint("2", line) } else { line.clone() });
        }
    }

    /// The end: how much of it held.
    pub(crate) fn verdict(&self, held: usize, of: usize) {
        let (code, text) = match held == of {
            true => ("32", format!("all {of} steps held")),
            false => ("31", format!("{held} of {of} steps held")),
        };
        println!("{}", self.paint(code, &text));
    }

    /// All that a program printed.
    pub(crate) fn words_of(&self, who: &str, text: &str) {
        println!("--- what {who} printed ---\n{}\n---", text.trim_end());
    }
}

//! The results as text: tables in Markdown that are also readable on a terminal, and the ratios that the README and the picture show.

use std::fmt::{self, Write as _};

/// All results of a run.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) sections: Vec<Section>,
    pub(crate) ratios: Vec<Ratio>,
}

/// A table with its explanation.
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) about: &'static str,
    pub(crate) table: Table,
}

/// A comparison of the agent with another program.
pub(crate) struct Ratio {
    /// For example "CPU time of a first boot".
    pub(crate) what: &'static str,
    pub(crate) other: &'static str,
    pub(crate) ours: f64,
    pub(crate) theirs: f64,
    pub(crate) unit: &'static str,
    pub(crate) aim: Option<Aim>,
}

/// The aim of a comparison.
#[derive(Clone, Copy)]
pub(crate) enum Aim {
    /// The other's cost is at least this many times the agent's.
    Times(f64),
    /// The agent's cost is at most this, in the ratio's unit.
    AtMost(f64),
}

impl Ratio {
    /// The other's cost divided by the agent's.
    pub(crate) fn times(&self) -> f64 {
        self.theirs / self.ours
    }

    /// The aim in words, and whether it was reached.
    fn aim(&self) -> String {
        let (text, is_met) = match self.aim {
            None => return String::new(),
            Some(Aim::Times(aim)) => (format!("{aim}×"), self.times() >= aim),
            Some(Aim::AtMost(aim)) => (format!("at most {aim} {}", self.unit), self.ours <= aim),
        };
        if is_met { text } else { format!("{text}: missed") }
    }
}

impl Report {
    /// Adds a table, and prints it.
    pub(crate) fn add(&mut self, title: &'static str, about: &'static str, table: Table) {
        let section = Section { title, about, table };
        println!("{section}");
        self.sections.push(section);
    }

    /// The ratios as a table.
    pub(crate) fn short(&self) -> Table {
        let mut table = Table::new(&["what", "scw-agent", "the other", "which", "ratio", "aim"]);
        for ratio in &self.ratios {
            let with_unit = |value| format!("{} {}", figure(value), ratio.unit);
            let words = |word: &str| word.to_owned();
            table.row([
                words(ratio.what),
                with_unit(ratio.ours),
                with_unit(ratio.theirs),
                words(ratio.other),
                format!("{}×", figure(ratio.times())),
                ratio.aim(),
            ]);
        }
        table
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "## {}\n\n{}\n\n{}", self.title, self.about, self.table)
    }
}

/// A head and rows of text.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|&text| text.to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    /// Columns of figures are aligned to the right, others to the left.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
        let width = |column| self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(|column| width(column).max(3)).collect();
        let is_left = |column| {
            self.rows[1..].iter().all(|row| !cell(row, column).starts_with(|c: char| c.is_ascii_digit()))
        };
        let left: Vec<bool> = (0..columns).map(is_left).collect();
        for (number, row) in self.rows.iter().enumerate() {
            let mut line = String::from("|");
            for (column, width) in widths.iter().enumerate() {
                let text = cell(row, column);
                if left[column] {
                    write!(line, " {text:<width$} |")?;
                } else {
                    write!(line, " {text:>width$} |")?;
                }
            }
            writeln!(f, "{line}")?;
            if number == 0 {
                let rules = widths.iter().zip(&left).map(|(width, left)| match left {
                    true => format!("{}|", "-".repeat(width + 2)),
                    false => format!("{}:|", "-".repeat(width + 1)),
                });
                writeln!(f, "|{}", rules.collect::<String>())?;
            }
        }
        Ok(())
    }
}

/// A value with three significant digits; larger ones as a whole number.
pub(crate) fn figure(value: f64) -> String {
    match value {
        value if value >= 99.95 => rounded(value),
        value if value >= 9.995 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// A value without decimals, with commas between thousands.
pub(crate) fn rounded(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figure_has_three_digits_and_commas() {
        for (value, text) in [
            (0.123, "0.12"),
            (9.99, "9.99"),
            (9.999, "10.0"),
            (99.99, "100"),
            (999.6, "1,000"),
            (2240.4, "2,240"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(figure(value), text);
        }
    }

    #[test]
    fn table_is_markdown_with_figures_to_the_right() {
        let mut table = Table::new(&["", "wall"]);
        table.row(["ours".to_owned(), "1.0 ms".to_owned()]);
        assert_eq!(table.to_string(), "|      |   wall |\n|------|-------:|\n| ours | 1.0 ms |\n");
    }
}

//! Writes a report into the documentation: the complete report and the picture into docs/development, and one line into the README between
//! two marks. The README's line is taken from the complete report, so a test can compare the two.

use std::fs;

use crate::machine::checkout;
use crate::picture;
use crate::report::Report;

const FOLDER: &str = "docs/development";
const BEGIN: &str = "<!-- written by cargo measure --write -->\n";
const END: &str = "<!-- end of what cargo measure writes -->\n";

/// Writes the three files; `machine` is a list in Markdown that begins with the date.
pub(crate) fn write(report: &Report, machine: &str) -> Result<(), String> {
    let put = |name: &str, text: &str| {
        let path = checkout().join(name);
        fs::write(&path, text).map_err(|why| format!("{}: {why}", path.display()))
    };
    fs::create_dir_all(checkout().join(FOLDER)).map_err(|why| format!("{FOLDER}: {why}"))?;
    put(&format!("{FOLDER}/benchmark.svg"), &picture::draw(&report.ratios))?;
    let sections: Vec<_> = report.sections.iter().map(ToString::to_string).collect();
    let complete = format!(
        "# Benchmark\n\n\
         `cargo measure --write` writes this page; no figure is typed by hand. The programs of a ratio ran in turn, in the same run, on the same \
         machine, against the same stand-in for the metadata service. Times are medians. A ratio is the cost of the other program divided by the \
         cost of scw-agent. An aim that was not reached is marked as missed.\n\n\
         {machine}\n## Ratios\n\n{}\n![The ratios as bars](benchmark.svg)\n\n{}",
        report.short(),
        sections.join("\n")
    );
    put(&format!("{FOLDER}/benchmark.md"), &complete)?;
    let readme =
        fs::read_to_string(checkout().join("README.md")).map_err(|why| format!("README.md: {why}"))?;
    let line = readme_line(&complete).ok_or("the report lacks a ratio for the README")?;
    put("README.md", &replace_between(&readme, &line).ok_or("README.md has no marks for the ratios")?)
}

/// The README's line, from the text of benchmark.md.
fn readme_line(benchmark: &str) -> Option<String> {
    let date = benchmark.lines().find_map(|line| line.strip_prefix("- "))?.split(' ').next()?;
    let ratio = |what: &str, other: &str| {
        benchmark.lines().find_map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            match cells[..] {
                ["", first, _, _, which, ratio, ..] if (first, which) == (what, other) => {
                    ratio.strip_suffix('×').map(str::to_owned)
                }
                _ => None,
            }
        })
    };
    Some(format!(
        "Measured on {date}: curl takes {} times as long as `scw-userdata KEY`. At a later boot, shell scripts with curl take {} times the CPU time \
         of scw-agent, and cloud-init {} times. [All figures, also the aims that were missed]({FOLDER}/benchmark.md).\n",
        ratio("time of scw-userdata KEY", "curl --local-port")?,
        ratio("CPU time of a later boot", "shell and curl")?,
        ratio("CPU time of a later boot", "cloud-init")?,
    ))
}

/// The text with `block` between the marks, or nothing if the marks are missing.
fn replace_between(text: &str, block: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{block}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_between_the_marks_is_replaced() {
        let text = format!("a\n{BEGIN}old\n{END}b\n");
        assert_eq!(replace_between(&text, "new\n"), Some(format!("a\n{BEGIN}new\n{END}b\n")));
        assert_eq!(replace_between("a\n", "new\n"), None);
    }

    #[test]
    fn readme_line_has_the_figures_of_the_benchmark() {
        let read = |name: &str| fs::read_to_string(checkout().join(name)).expect("read");
        let line = readme_line(&read("docs/development/benchmark.md")).expect("the ratios");
        let readme = read("README.md");
        assert_eq!(replace_between(&readme, &line).expect("the marks"), readme, "expected: {line}");
        assert_eq!(readme_line("# Benchmark\n\n- 2026-11-23 06:19 UTC\n"), None);
    }
}

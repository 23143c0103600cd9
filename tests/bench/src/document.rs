//! Writes a report into the documentation: the complete report to docs/benchmark.md, the picture to docs/benchmark.svg, and the ratios into
//! the README between two marks.

use std::fs;

use crate::machine::checkout;
use crate::picture;
use crate::report::Report;

const BEGIN: &str = "<!-- written by cargo measure --write -->\n";
const END: &str = "<!-- end of what cargo measure writes -->\n";

/// Writes the three files; `machine` is a list in Markdown.
pub(crate) fn write(report: &Report, machine: &str) -> Result<(), String> {
    let put = |name: &str, text: &str| {
        let path = checkout().join(name);
        fs::write(&path, text).map_err(|why| format!("{}: {why}", path.display()))
    };
    fs::create_dir_all(checkout().join("docs")).map_err(|why| format!("docs: {why}"))?;
    put("docs/benchmark.svg", &picture::draw(&report.ratios))?;
    let sections: Vec<_> = report.sections.iter().map(ToString::to_string).collect();
    let complete = format!(
        "# Measured\n\n\
         Written by `cargo measure --write`; no figure is typed in. Every ratio is of two programs in the same run, in turn, on the same machine, against \
         the same stand-in for the Metadata API. Times are medians.\n\n\
         {machine}\n## Ratios\n\n{}\n![The ratios as bars](benchmark.svg)\n\n{}",
        report.short(),
        sections.join("\n")
    );
    put("docs/benchmark.md", &complete)?;
    let readme =
        fs::read_to_string(checkout().join("README.md")).map_err(|why| format!("README.md: {why}"))?;
    let block = format!("\n{machine}\n{}\n", report.short());
    put("README.md", &replace_between(&readme, &block).ok_or("README.md has no marks for the ratios")?)
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
    fn readme_has_the_marks() {
        let readme = fs::read_to_string(checkout().join("README.md")).expect("read");
        assert!(replace_between(&readme, "new\n").is_some());
    }
}

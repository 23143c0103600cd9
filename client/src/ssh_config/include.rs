//! The lines in the user's ssh configuration that include our file. All other lines stay as they are. Pure.
//!
//! They are at the end, so that `Match host` sees each `HostName` before them, those of Scaleway's own
//! `scw instance ssh install-config` included. `Match all` ends the section before.

/// The name of our file, beside the user's.
pub(crate) const OWN_FILE: &str = "scw-known-hosts.config";

const BEGIN: &str = "# scw-known-hosts: begin; written by `scw-known-hosts setup`";
const END: &str = "# scw-known-hosts: end";

/// The lines between the marks are not those that this program wrote.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "line {line} of your ssh configuration begins a block of this program that was changed; delete the block and try again"
)]
pub struct ChangedBlock {
    /// The line of the first mark, from 1.
    pub line: usize,
}

/// The content with our lines at the end.
pub fn with_include(content: &str) -> Result<String, ChangedBlock> {
    let mut text = without_include(content)?;
    if !text.is_empty() {
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push('\n');
    }
    text.push_str(&format!("{BEGIN}\nMatch all\nInclude {OWN_FILE}\n{END}\n"));
    Ok(text)
}

/// The content without our lines. If there is anything else between the marks, nothing is changed.
pub fn without_include(content: &str) -> Result<String, ChangedBlock> {
    let lines: Vec<_> = content.split_inclusive('\n').collect();
    let Some(begin) = lines.iter().position(|line| line.trim_end() == BEGIN) else {
        return Ok(content.to_owned());
    };
    let include = format!("Include {OWN_FILE}");
    let expected = [BEGIN, "Match all", &include, END];
    let (before, block) = lines.split_at(begin);
    let is_ours =
        block.len() >= expected.len() && block.iter().zip(expected).all(|(line, own)| line.trim_end() == own);
    if !is_ours {
        return Err(ChangedBlock { line: begin + 1 });
    }
    // The empty line before ours is ours, too.
    let before = match before.split_last() {
        Some((last, before)) if last.trim_end().is_empty() && !before.is_empty() => before,
        _ => before,
    };
    without_include(&(before.concat() + &block[expected.len()..].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(content: &str) -> String {
        with_include(content).expect("content")
    }

    #[test]
    fn lines_are_added_and_removed_without_a_trace() {
        for content in ["", "Host a\n    User root\n", "Include scaleway.config\n\nHost *\n"] {
            let new = with(content);
            assert!(new.ends_with(&format!("Match all\nInclude {OWN_FILE}\n{END}\n")));
            assert_eq!(with(&new), new, "{content:?}");
            assert_eq!(without_include(&new).as_deref(), Ok(content));
            assert_eq!(with(&new.replace('\n', "\r\n")).matches(BEGIN).count(), 1);
        }
    }

    #[test]
    fn lines_move_behind_what_was_added_after_them() {
        let new = with(&format!("{}Host later\n", with("Host a\n")));
        assert!(new.starts_with("Host a\nHost later\n\n# scw"), "{new}");
    }

    #[test]
    fn changed_block_is_an_error_and_loses_nothing() {
        let good = with("Host a\n");
        for content in [
            format!("{BEGIN}\nHost a\n"),
            good.replace(&format!("{END}\n"), "Host precious\n"),
            good.replace("Match all\n", "Match all\nHost precious\n"),
            format!("{}\n{good}", good.replace(&format!("{END}\n"), "Host precious\n")),
        ] {
            let line = content.lines().position(|line| line == BEGIN).expect("it") + 1;
            assert_eq!(with_include(&content), Err(ChangedBlock { line }), "{content}");
            assert_eq!(without_include(&content), Err(ChangedBlock { line }), "{content}");
        }
    }
}

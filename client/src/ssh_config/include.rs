//! The lines in the user's ssh configuration that include our file. All other lines stay as they are. Pure.
//!
//! They are at the end, so that `Match host` sees each `HostName` before them, those of Scaleway's own
//! `scw instance ssh install-config` included. `Match all` ends the section before.

/// The name of our file, beside the user's.
pub(crate) const OWN_FILE: &str = "scw-known-hosts.config";

const BEGIN: &str = "# scw-known-hosts: begin; written by `scw-known-hosts setup`";
const END: &str = "# scw-known-hosts: end";

/// The content with our lines at the end.
pub fn with_include(content: &str) -> String {
    let mut text = without_include(content);
    if !text.is_empty() {
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push('\n');
    }
    text.push_str(&format!("{BEGIN}\nMatch all\nInclude {OWN_FILE}\n{END}\n"));
    text
}

/// The content without our lines. Lines that only resemble them stay.
pub fn without_include(content: &str) -> String {
    let Some((before, rest)) = content.split_once(&format!("{BEGIN}\n")) else { return content.to_owned() };
    let Some((_, after)) = rest.split_once(&format!("{END}\n")) else { return content.to_owned() };
    // The empty line before ours is ours, too.
    let before = before.strip_suffix("\n\n").map_or(before.to_owned(), |before| format!("{before}\n"));
    before + after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_added_and_removed_without_a_trace() {
        for content in ["", "Host a\n    User root\n", "Include scaleway.config\n\nHost *\n"] {
            let with = with_include(content);
            assert!(with.ends_with(&format!("Match all\nInclude {OWN_FILE}\n{END}\n")));
            assert_eq!(with_include(&with), with, "{content:?}");
            assert_eq!(without_include(&with), content);
        }
    }

    #[test]
    fn lines_move_behind_what_was_added_after_them() {
        let with = with_include(&format!("{}Host later\n", with_include("Host a\n")));
        assert!(with.starts_with("Host a\nHost later\n\n# scw"), "{with}");
    }

    #[test]
    fn block_without_its_end_stays() {
        let content = format!("{BEGIN}\nHost a\n");
        assert_eq!(without_include(&content), content);
    }
}

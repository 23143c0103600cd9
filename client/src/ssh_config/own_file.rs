//! The file that `setup` writes: for which hosts ssh asks the program, and how. Pure.
//!
//! A declared host is refused whenever its key cannot be checked, also if the program is missing: with no file of known hosts,
//! ssh knows no key for it.

use std::fmt::Write as _;

use crate::ssh::call::normal;

/// What comes before the recorded choices.
const RECORD: &str = "# scw-known-hosts:";

/// The tokens that OpenSSH 8.5 knows.
const TOKENS: &str = "%I %H %h %n %p %t %K";

/// The user's choices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// Patterns of declared hosts.
    pub hosts: Vec<String>,
    /// Whether a candidate is refused if its key cannot be checked.
    pub is_strict: bool,
    /// Whether the API is asked about each host.
    pub all_hosts: bool,
}

/// Why something cannot be in the file.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChoiceError {
    /// The pattern would be several words, or several patterns.
    #[error("a host pattern has letters, digits, and . - _ : * ? only")]
    Pattern,
    /// The path of the program cannot be in ssh_config.
    #[error(
        "the path of this program contains a character that ssh_config cannot have; install it elsewhere"
    )]
    Path,
}

impl Choices {
    /// The choices that a file records.
    pub fn recorded(content: &str) -> Self {
        let mut choices = Self::default();
        for word in
            content.lines().filter_map(|line| line.strip_prefix(RECORD)).flat_map(str::split_ascii_whitespace)
        {
            match word.split_once('=') {
                Some(("host", pattern)) if check_pattern(pattern).is_ok() => {
                    choices.hosts.push(pattern.to_owned())
                }
                Some(("unknown", policy)) => choices.is_strict = policy == "refuse",
                Some(("all-hosts", yes)) => choices.all_hosts = yes == "yes",
                _ => {}
            }
        }
        choices
    }

    /// Adds a declared host.
    pub fn add_host(&mut self, pattern: &str) -> Result<(), ChoiceError> {
        let pattern = normal(pattern);
        check_pattern(&pattern)?;
        if !self.hosts.contains(&pattern) {
            self.hosts.push(pattern);
        }
        Ok(())
    }

    /// The content of the file, for the program at this path.
    pub fn content(&self, program: &str) -> Result<String, ChoiceError> {
        let is_good = |c: char| !c.is_control() && !matches!(c, '"' | '\\' | '\'' | '#');
        if !program.starts_with('/') || !program.chars().all(is_good) {
            return Err(ChoiceError::Path);
        }
        let program = if program.contains(' ') { format!("\"{program}\"") } else { program.to_owned() };
        let policy = if self.is_strict { "refuse" } else { "ask" };
        let mut text =
            "# Written by `scw-known-hosts setup`. Change it with that command; see scw-known-hosts(1).\n"
                .to_owned();
        for host in &self.hosts {
            let _ = writeln!(text, "{RECORD} host={host}");
        }
        let yes = if self.all_hosts { "yes" } else { "no" };
        let _ = writeln!(text, "{RECORD} unknown={policy} all-hosts={yes}");
        text.push_str(
            "\n# ssh before 8.5 does not know KnownHostsCommand. It connects without this check, but not to declared hosts.\n",
        );
        text.push_str("IgnoreUnknown KnownHostsCommand\n");
        if !self.hosts.is_empty() {
            // A name may be declared as it is typed, or as it is after HostName; and a dot at its end makes no difference to DNS.
            let patterns: Vec<_> = self.hosts.iter().map(|host| format!("{host},{host}.")).collect();
            for keyword in ["originalhost", "host"] {
                let _ = write!(
                    text,
                    "\nMatch {keyword} {}\n    StrictHostKeyChecking yes\n    VerifyHostKeyDNS no\n    \
                     UserKnownHostsFile none\n    GlobalKnownHostsFile none\n",
                    patterns.join(",")
                );
            }
        }
        let all = if self.all_hosts { " --all-hosts" } else { "" };
        let hosts = self.hosts.join(",");
        let declared = if hosts.is_empty() { String::new() } else { format!(" --declared={hosts}") };
        let command = format!("{program} check --unknown={policy}{all}{declared} {TOKENS}");
        let _ = write!(text, "\nMatch all\n    KnownHostsCommand {command}\n");
        Ok(text)
    }
}

fn check_pattern(pattern: &str) -> Result<(), ChoiceError> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '*' | '?');
    let is_pattern = !pattern.is_empty() && pattern.chars().all(is_good);
    if is_pattern { Ok(()) } else { Err(ChoiceError::Pattern) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_those_that_the_file_records() {
        let mut choices = Choices { is_strict: true, all_hosts: true, ..Choices::default() };
        choices.add_host("*.Example.com").expect("a pattern");
        choices.add_host("*.example.com.").expect("again");
        choices.add_host("2001:db8::1").expect("an address");
        let content = choices.content("/usr/bin/scw-known-hosts").expect("content");
        assert_eq!(Choices::recorded(&content), choices);
        assert_eq!(choices.hosts.len(), 2);
        assert_eq!(Choices::recorded(""), Choices::default());
    }

    #[test]
    fn patterns_that_would_be_more_than_one_are_refused() {
        for pattern in ["", "a b", "a,b", "!a", "a\nHost *", "\"a\"", "a#b"] {
            assert_eq!(Choices::default().add_host(pattern), Err(ChoiceError::Pattern), "{pattern:?}");
        }
    }

    #[test]
    fn program_is_an_absolute_path_as_one_word() {
        let content = |program| Choices::default().content(program);
        assert!(content("/opt/my tools/x").expect("content").contains("\"/opt/my tools/x\" check"));
        for program in ["x", "/a\"b", "/a\nb", "/a\\b", "/a#b"] {
            assert_eq!(content(program), Err(ChoiceError::Path), "{program:?}");
        }
    }
}

//! The script header: settings in the first comment lines of a script, such as `# scw-setup: timeout=10m retries=2`. Pure.
//!
//! The agent does not guess. An unknown or wrong setting is an error, and the script does not run. The same is true for
//! settings after a misspelt mark (`# scw-setup timeout=1m`), if every word there is a valid setting. Other words after
//! such a mark may be meant for people, so they stop no script.
//!
//! The error contains the line number and the word number, never the word itself: the word may be a secret that is there
//! by mistake (invariant S3).

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::util::duration;
use crate::util::suggest::nearest;

/// The mark: a line of settings begins with it, after the `#`.
const MARK: &str = "scw-setup:";
/// The highest number of retries that a script can ask for.
const MAX_RETRIES: u32 = 10;
/// What a timeout or retry delay must be, for messages.
const DURATION_FORM: &str = "a duration such as 90s or 10m, and at most a year";
/// Environment variables that the setup runner sets itself.
const RESERVED_VARIABLES: [&str; 7] = ["PATH", "HOME", "LANG", "USER", "LOGNAME", "SHELL", "PWD"];
/// The names of all settings.
const SETTING_NAMES: [&str; 7] =
    ["timeout", "retries", "retry-delay", "user", "when", "delete-after-success", "env"];

/// When a script is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Once for this Instance, even if the content changes later.
    Once,
    /// Once for this Instance, and again when the content changes.
    Change,
    /// Once in each boot.
    Boot,
}

impl When {
    const VALUES: [(&str, Self); 3] = [("once", Self::Once), ("change", Self::Change), ("boot", Self::Boot)];

    /// The value of the setting `when`.
    pub fn as_str(self) -> &'static str {
        Self::VALUES.iter().find(|(_, when)| *when == self).map_or("", |(value, _)| value)
    }
}

/// The header settings. `None`: the header does not set it, and the default of the configuration or of the script kind is
/// used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The timeout of one attempt.
    pub timeout: Option<Duration>,
    /// How many times a failed script is started again.
    pub retries: Option<u32>,
    /// How long to wait before each retry.
    pub retry_delay: Option<Duration>,
    /// The user that the script runs as.
    pub user: Option<String>,
    /// When the script is due.
    pub when: Option<When>,
    /// Whether the agent deletes the script's user data key after a success.
    pub delete_after_success: bool,
    /// Additional environment variables.
    pub environment: Vec<(String, String)>,
}

/// A wrong line or setting in a script header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub struct HeaderError {
    /// The line number, from 1.
    pub line: usize,
    /// The number of the word after `scw-setup:`, from 1. `None`: the error is about the complete line.
    pub word: Option<usize>,
    /// What is wrong.
    pub fault: HeaderFault,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, word, fault } = self;
        match word {
            Some(word) => write!(f, "line {line} of the script, word {word}: {fault}"),
            None => write!(f, "line {line} of the script: {fault}"),
        }
    }
}

/// What is wrong with a setting. The texts contain only words of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeaderFault {
    /// The mark before the settings is misspelt.
    #[error("a line of settings must begin with `# {MARK}`, in lower case")]
    Mark,
    /// There is no such setting; the most similar one, if there is any.
    #[error(fmt = unknown_setting)]
    Unknown(Option<&'static str>),
    /// The header sets this setting twice.
    #[error("`{0}` is set twice")]
    Twice(&'static str),
    /// The setting must have this form.
    #[error("must be written as `{0}`")]
    Form(&'static str),
    /// The value of this setting is wrong; what it must be.
    #[error("the value of `{0}` must be {1}")]
    Value(&'static str, &'static str),
}

fn unknown_setting(similar: &Option<&'static str>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match similar {
        None => write!(f, "unknown setting; the settings are {}", SETTING_NAMES.join(", ")),
        Some(name) => write!(f, "unknown setting; did you mean `{name}`?"),
    }
}

impl Header {
    /// Reads the settings from the comment lines at the beginning of a script.
    pub fn parse(script: &str) -> Result<Self, HeaderError> {
        let mut header = Self::default();
        let mut seen = Vec::new();
        for (number, line) in script.lines().enumerate().take_while(|(_, line)| line.starts_with('#')) {
            let error = |word, fault| HeaderError { line: number + 1, word, fault };
            let settings = match header_mark(line) {
                HeaderMark::Settings(settings) => settings,
                HeaderMark::Similar { has_settings: true } => return Err(error(None, HeaderFault::Mark)),
                HeaderMark::Similar { has_settings: false } | HeaderMark::None => continue,
            };
            for (index, word) in settings.split_whitespace().enumerate() {
                header.add_setting(word, &mut seen).map_err(|fault| error(Some(index + 1), fault))?;
            }
        }
        Ok(header)
    }

    /// Adds the setting in one word. `seen`: the names of the settings so far.
    fn add_setting(&mut self, word: &str, seen: &mut Vec<&'static str>) -> Result<(), HeaderFault> {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let Some(name) = SETTING_NAMES.into_iter().find(|known| *known == name) else {
            return Err(HeaderFault::Unknown(nearest(name, SETTING_NAMES)));
        };
        if name != "env" && seen.contains(&name) {
            return Err(HeaderFault::Twice(name));
        }
        seen.push(name);
        let value_or = |form| value.filter(|value| !value.is_empty()).ok_or(HeaderFault::Form(form));
        let wrong = |must_be| HeaderFault::Value(name, must_be);
        match name {
            "timeout" => {
                self.timeout = Some(nonzero_duration(value_or("timeout=10m")?).ok_or(wrong(DURATION_FORM))?)
            }
            "retry-delay" => {
                self.retry_delay =
                    Some(nonzero_duration(value_or("retry-delay=30s")?).ok_or(wrong(DURATION_FORM))?)
            }
            "retries" => {
                let count = value_or("retries=2")?.parse().ok().filter(|count| *count <= MAX_RETRIES);
                self.retries = Some(count.ok_or(wrong("a number from 0 to 10"))?);
            }
            "user" => self.user = Some(user_name(value_or("user=NAME")?).ok_or(wrong("the name of a user"))?),
            "when" => {
                let value = value_or("when=once")?;
                let when = When::VALUES.iter().find(|(known, _)| *known == value).map(|(_, when)| *when);
                self.when = Some(when.ok_or(wrong("once, change or boot"))?);
            }
            "delete-after-success" => match value {
                None => self.delete_after_success = true,
                Some(_) => return Err(HeaderFault::Form("delete-after-success")),
            },
            _ => self.environment.push(environment_variable(value_or("env=NAME=VALUE")?)?),
        }
        Ok(())
    }
}

/// The mark that a line begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderMark<'a> {
    /// The exact mark, and the settings after it.
    Settings(&'a str),
    /// A comment that is similar to the mark.
    Similar {
        /// Whether at least one word follows, and each of them is a valid setting.
        has_settings: bool,
    },
    /// No mark.
    None,
}

/// The mark that this line begins with.
pub(crate) fn header_mark(line: &str) -> HeaderMark<'_> {
    let Some(comment) = line.strip_prefix('#') else { return HeaderMark::None };
    let comment = comment.trim_start_matches('#').trim_start();
    if let Some(settings) = comment.strip_prefix(MARK) {
        return HeaderMark::Settings(settings);
    }
    let Some(rest) = strip_word(comment, "scw") else { return HeaderMark::None };
    let rest = rest.strip_prefix(['-', '_', ' ', '\t']).unwrap_or(rest);
    let Some(rest) = strip_word(rest, "setup") else { return HeaderMark::None };
    let settings = rest.trim_start();
    let after_sign = settings.strip_prefix([':', '=']);
    let mut words = after_sign.unwrap_or(settings).split_whitespace().peekable();
    let is_like_setting = words.peek().is_some_and(|first| looks_like_setting(first));
    match after_sign {
        // A longer word: `scw-setups`.
        None if settings.len() == rest.len() => HeaderMark::None,
        None if !is_like_setting => HeaderMark::None,
        _ => {
            let (mut header, mut seen) = (Header::default(), Vec::new());
            let has_settings =
                is_like_setting && words.all(|word| header.add_setting(word, &mut seen).is_ok());
            HeaderMark::Similar { has_settings }
        }
    }
}

/// The text after this word, if the text begins with it; upper and lower case are equal.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (begin, rest) = text.split_at_checked(word.len())?;
    begin.eq_ignore_ascii_case(word).then_some(rest)
}

/// Whether a word is a setting, perhaps with a misspelt name.
fn looks_like_setting(word: &str) -> bool {
    match word.split_once('=') {
        Some((name, _)) => nearest(name, SETTING_NAMES).is_some(),
        None => word == "delete-after-success",
    }
}

fn nonzero_duration(text: &str) -> Option<Duration> {
    duration::parse(text).ok().filter(|duration| !duration.is_zero())
}

/// A user name that no program takes for an option or a path.
fn user_name(name: &str) -> Option<String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    (!name.starts_with('-') && name.chars().all(is_allowed)).then(|| name.to_owned())
}

/// `NAME=VALUE` as an environment variable.
fn environment_variable(text: &str) -> Result<(String, String), HeaderFault> {
    let (name, value) = text.split_once('=').ok_or(HeaderFault::Form("env=NAME=VALUE"))?;
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !is_name {
        return Err(HeaderFault::Value("env", "NAME=VALUE, with a name of letters, digits and _"));
    }
    if name.starts_with("SCW_") || RESERVED_VARIABLES.contains(&name) {
        return Err(HeaderFault::Value("env", "another variable: the agent sets this one"));
    }
    // For the kernel, a NUL byte ends the variable.
    if value.contains('\0') {
        return Err(HeaderFault::Value("env", "text without a NUL byte"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests;

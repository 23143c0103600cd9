//! The settings that a script carries in its own leading comments, `# scw-setup: timeout=10m retries=2`. Pure.
//!
//! Nothing runs on a guess: a word that is not understood is an error, and so are settings behind a mark that is nearly ours (`# scw-setup
//! timeout=1m`), if each word there is a good one. Other words there may be meant for people, and stop no script. The error has the numbers
//! of the line and the word, and never the word itself: what stands there by mistake may be a secret (invariant S3).

use std::fmt;
use std::time::Duration;

use crate::util::suggest::nearest;

/// What a line of settings begins with, behind its `#`.
const MARK: &str = "scw-setup:";
/// A script is started again for as many times at most.
const MOST_RETRIES: u32 = 10;
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
const LENGTH: &str = "a length of time such as 90s or 10m, and at most a year";
/// Names that the runner sets itself.
const OURS: [&str; 7] = ["PATH", "HOME", "LANG", "USER", "LOGNAME", "SHELL", "PWD"];
const NAMES: [&str; 7] = ["timeout", "retries", "retry-delay", "user", "when", "delete-after-success", "env"];

/// When a script is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Once for this Instance, whatever becomes of its content.
    Once,
    /// Once for this Instance and this content.
    Change,
    /// Once in every boot.
    Boot,
}

impl When {
    const WORDS: [(&str, Self); 3] = [("once", Self::Once), ("change", Self::Change), ("boot", Self::Boot)];

    /// The word by which a script asks for it.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, when)| *when == self).map_or("", |(word, _)| word)
    }
}

/// The settings; what is not set is `None`, and the configuration's or the key's default holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
    /// How often a script that failed is started again.
    pub retries: Option<u32>,
    /// How long to wait before that.
    pub retry_delay: Option<Duration>,
    /// As whom it runs.
    pub user: Option<String>,
    /// When it is due.
    pub when: Option<When>,
    /// Whether its user data key is deleted once it succeeded.
    pub delete_after_success: bool,
    /// Additions to its environment.
    pub environment: Vec<(String, String)>,
}

/// A setting that is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderError {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, behind `scw-setup:`; none where the line as a whole is meant.
    pub word: Option<usize>,
    /// What is wrong with it.
    pub fault: HeaderFault,
}

/// What is wrong with a setting. All texts are this program's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// Settings stand behind a mark that is nearly the right one.
    Mark,
    /// There is no such setting; perhaps this one was meant.
    Unknown(Option<&'static str>),
    /// This setting stands there twice.
    Twice(&'static str),
    /// It must be written like this.
    Shape(&'static str),
    /// The value of this setting is wrong; it must be that.
    Value(&'static str, &'static str),
}

impl Header {
    /// Reads the lines of comments that a script begins with.
    pub fn parse(script: &str) -> Result<Self, HeaderError> {
        let mut header = Self::default();
        let mut seen = Vec::new();
        for (number, line) in script.lines().enumerate().take_while(|(_, line)| line.starts_with('#')) {
            let error = |word, fault| HeaderError { line: number + 1, word, fault };
            let settings = match mark(line) {
                HeaderMark::Settings(settings) => settings,
                HeaderMark::Near { is_setting: true } => return Err(error(None, HeaderFault::Mark)),
                HeaderMark::Near { is_setting: false } | HeaderMark::None => continue,
            };
            for (at, word) in settings.split_whitespace().enumerate() {
                header.take(word, &mut seen).map_err(|fault| error(Some(at + 1), fault))?;
            }
        }
        Ok(header)
    }

    fn take(&mut self, word: &str, seen: &mut Vec<&'static str>) -> Result<(), HeaderFault> {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let Some(name) = NAMES.into_iter().find(|known| *known == name) else {
            return Err(HeaderFault::Unknown(nearest(name, NAMES)));
        };
        if name != "env" && seen.contains(&name) {
            return Err(HeaderFault::Twice(name));
        }
        seen.push(name);
        let value_or = |shape| value.filter(|value| !value.is_empty()).ok_or(HeaderFault::Shape(shape));
        let wrong = |must_be| HeaderFault::Value(name, must_be);
        match name {
            "timeout" => self.timeout = Some(length(value_or("timeout=10m")?).ok_or(wrong(LENGTH))?),
            "retry-delay" => {
                self.retry_delay = Some(length(value_or("retry-delay=30s")?).ok_or(wrong(LENGTH))?)
            }
            "retries" => {
                let count = value_or("retries=2")?.parse().ok().filter(|count| *count <= MOST_RETRIES);
                self.retries = Some(count.ok_or(wrong("a number from 0 to 10"))?);
            }
            "user" => self.user = Some(user(value_or("user=NAME")?).ok_or(wrong("the name of a user"))?),
            "when" => {
                let word = value_or("when=once")?;
                let when = When::WORDS.iter().find(|(known, _)| *known == word).map(|(_, when)| *when);
                self.when = Some(when.ok_or(wrong("once, change or boot"))?);
            }
            "delete-after-success" => match value {
                None => self.delete_after_success = true,
                Some(_) => return Err(HeaderFault::Shape("delete-after-success")),
            },
            _ => self.environment.push(variable(value_or("env=NAME=VALUE")?)?),
        }
        Ok(())
    }
}

/// How a line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderMark<'a> {
    /// As a line of settings; these.
    Settings(&'a str),
    /// Nearly so.
    Near {
        /// Whether each word that follows is a setting, and there is one.
        is_setting: bool,
    },
    /// In another way.
    None,
}

/// Looks at a line for the mark of settings.
pub(crate) fn mark(line: &str) -> HeaderMark<'_> {
    let Some(comment) = line.strip_prefix('#') else { return HeaderMark::None };
    let comment = comment.trim_start_matches('#').trim_start();
    if let Some(settings) = comment.strip_prefix(MARK) {
        return HeaderMark::Settings(settings);
    }
    let Some(rest) = after_word(comment, "scw") else { return HeaderMark::None };
    let rest = rest.strip_prefix(['-', '_', ' ', '\t']).unwrap_or(rest);
    let Some(rest) = after_word(rest, "setup") else { return HeaderMark::None };
    let settings = rest.trim_start();
    let behind_sign = settings.strip_prefix([':', '=']);
    let mut words = behind_sign.unwrap_or(settings).split_whitespace().peekable();
    let is_like_setting = words.peek().is_some_and(|first| looks_like_setting(first));
    match behind_sign {
        // A longer word: `scw-setups`.
        None if settings.len() == rest.len() => HeaderMark::None,
        None if !is_like_setting => HeaderMark::None,
        _ => {
            let (mut header, mut seen) = (Header::default(), Vec::new());
            let is_setting = is_like_setting && words.all(|word| header.take(word, &mut seen).is_ok());
            HeaderMark::Near { is_setting }
        }
    }
}

/// What follows a word, in capitals or not.
fn after_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (begin, rest) = text.split_at_checked(word.len())?;
    begin.eq_ignore_ascii_case(word).then_some(rest)
}

/// Whether a word is a setting, perhaps misspelt.
fn looks_like_setting(word: &str) -> bool {
    match word.split_once('=') {
        Some((name, _)) => nearest(name, NAMES).is_some(),
        None => word == "delete-after-success",
    }
}

fn length(text: &str) -> Option<Duration> {
    let length = humantime::parse_duration(text).ok();
    length.filter(|length| !length.is_zero() && *length <= LONGEST)
}

/// A name that cannot be taken for an option, nor lead elsewhere.
fn user(name: &str) -> Option<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    (!name.starts_with('-') && name.chars().all(good)).then(|| name.to_owned())
}

fn variable(text: &str) -> Result<(String, String), HeaderFault> {
    let (name, value) = text.split_once('=').ok_or(HeaderFault::Shape("env=NAME=VALUE"))?;
    let good = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !good {
        return Err(HeaderFault::Value("env", "NAME=VALUE, with a name of letters, digits and _"));
    }
    if name.starts_with("SCW_") || OURS.contains(&name) {
        return Err(HeaderFault::Value("env", "another variable: the agent sets this one"));
    }
    // The kernel ends a variable there.
    if value.contains('\0') {
        return Err(HeaderFault::Value("env", "text without a NUL byte"));
    }
    Ok((name.to_owned(), value.to_owned()))
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

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mark => write!(f, "a line of settings must begin with `# {MARK}`, in small letters"),
            Self::Unknown(None) => write!(f, "unknown setting; the settings are {}", NAMES.join(", ")),
            Self::Unknown(Some(near)) => write!(f, "unknown setting; did you mean `{near}`?"),
            Self::Twice(name) => write!(f, "`{name}` is set twice"),
            Self::Shape(shape) => write!(f, "must be written as `{shape}`"),
            Self::Value(name, must_be) => write!(f, "the value of `{name}` must be {must_be}"),
        }
    }
}

impl std::error::Error for HeaderError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_from_the_leading_comments_and_from_nowhere_else() {
        let script = "#!/bin/sh\n# Sets the machine up.\n# scw-setup: timeout=10m retries=2\n#scw-setup: user=deploy when=once delete-after-success retry-delay=30s\n## scw-setup: env=A=1 env=B_2=x=y\n\n# scw-setup: nonsense\necho '# scw-setup: more'\n";
        let header = Header::parse(script).expect("good settings");
        let expected = Header {
            timeout: Some(Duration::from_secs(600)),
            retries: Some(2),
            retry_delay: Some(Duration::from_secs(30)),
            user: Some("deploy".to_owned()),
            when: Some(When::Once),
            delete_after_success: true,
            environment: vec![("A".to_owned(), "1".to_owned()), ("B_2".to_owned(), "x=y".to_owned())],
        };
        assert_eq!(header, expected);
        assert_eq!(Header::parse("#!/bin/sh\necho\n"), Ok(Header::default()));
    }

    #[test]
    fn s5_a_wrong_setting_is_named_by_line_and_word_and_nothing_is_guessed() {
        for (settings, named) in [
            ("timeuot=10m", "did you mean `timeout`?"),
            ("frobnicate", "the settings are timeout"),
            ("timeout", "`timeout=10m`"),
            ("timeout=", "`timeout=10m`"),
            ("timeout=10", "length of time"),
            ("timeout=0s", "length of time"),
            ("timeout=2years", "at most a year"),
            ("retries=11", "0 to 10"),
            ("retries=-1", "0 to 10"),
            ("user=-x", "name of a user"),
            ("user=a/b", "name of a user"),
            ("when=sometimes", "once, change or boot"),
            ("delete-after-success=yes", "`delete-after-success`"),
            ("retries=1 retries=1", "set twice"),
            ("env=A", "`env=NAME=VALUE`"),
            ("env=1=2", "letters"),
            ("env=SCW_ZONE=x", "agent sets"),
            ("env=PATH=x", "agent sets"),
            ("Timeout=1m", "timeout"),
        ] {
            let why = Header::parse(&format!("#!/bin/sh\n#\n# scw-setup: {settings}\n")).expect_err(settings);
            let text = why.to_string();
            let word = settings.split(' ').count();
            assert!(text.starts_with(&format!("line 3 of the script, word {word}: ")), "{settings}: {text}");
            assert!(text.contains(named), "{settings}: {text}");
        }
    }

    #[test]
    fn s5_setting_behind_a_wrong_mark_is_an_error() {
        const ERROR: HeaderMark<'_> = HeaderMark::Near { is_setting: true };
        const NEAR: HeaderMark<'_> = HeaderMark::Near { is_setting: false };
        for (line, expected) in [
            ("# scw-setup: timeout=1m", HeaderMark::Settings(" timeout=1m")),
            ("#scw-setup:timeout=1m", HeaderMark::Settings("timeout=1m")),
            ("##  scw-setup:", HeaderMark::Settings("")),
            ("# scw-setup timeout=1m", ERROR),
            ("# scw-setup delete-after-success", ERROR),
            ("# SCW-Setup: timeout=1m", ERROR),
            ("# scw_setup: timeout=1m", ERROR),
            ("# scw setup: timeout=1m", ERROR),
            ("# scwsetup: timeout=1m", ERROR),
            ("# scw-setup : timeout=1m", ERROR),
            ("# scw-setup=timeout=1m", ERROR),
            ("#SCW_SETUP:env=A=1", ERROR),
            ("# SCW-Setup: retries=2 timeout=5m", ERROR),
            ("# scw_setup: user=deploy", ERROR),
            // Not every word is a setting: for people.
            ("# SCW Setup: tier=1", NEAR),
            ("# scw-setup ver=1.2", NEAR),
            ("# scw setup usb=1", NEAR),
            ("# scw setup uses=3", NEAR),
            ("# SCW setup: env=prod host=web1", NEAR),
            ("# scw setup --user=deploy", NEAR),
            ("# scw-setup user=deploy env=prod  <- how to call this", NEAR),
            ("# scw-setup user=deploy; timeout=1m", NEAR),
            ("# scw-setup timeout=10", NEAR),
            ("# scw-setup retries=1 retries=1", NEAR),
            ("# scw-setup delete-after-success is explained in the wiki", NEAR),
            ("# scw-setup = timeuot=1m", NEAR),
            // Ran before, and may be meant for people.
            ("# SCW setup: installs nginx", NEAR),
            ("# scw-setup :", NEAR),
            ("# scw-setup=", NEAR),
            ("# Scw-Setup: see the wiki, timeout=1m", NEAR),
            ("# scw-setup installs nginx", HeaderMark::None),
            ("# scw-setup timeouts are explained in the wiki", HeaderMark::None),
            ("# scw-setup retries", HeaderMark::None),
            ("# SCW \u{2014} setup user=deploy", HeaderMark::None),
            ("# scw\u{2011}setup: user=x", HeaderMark::None),
            ("# scw - setup: user=x", HeaderMark::None),
            ("# scw/setup: user=x", HeaderMark::None),
            ("# scw-setups: timeout=1m", HeaderMark::None),
            ("# scw-setup.sh: timeout=1m", HeaderMark::None),
            ("# about scw-setup: timeout=1m", HeaderMark::None),
            ("# scw: timeout=1m", HeaderMark::None),
            ("# setup: timeout=1m", HeaderMark::None),
            ("# é", HeaderMark::None),
            ("#", HeaderMark::None),
            ("scw-setup: timeout=1m", HeaderMark::None),
        ] {
            assert_eq!(mark(line), expected, "{line}");
            let header = Header::parse(&format!("#!/bin/sh\n{line}\n"));
            assert_eq!(header.is_err(), expected == ERROR, "{line}");
            if let Err(why) = header {
                assert_eq!((why.line, why.word, why.fault), (2, None, HeaderFault::Mark));
                assert!(why.to_string().starts_with("line 2 of the script: "), "{why}");
            }
        }
    }

    /// A secret anywhere in a line of settings, in a good or a wrong place, glued to anything.
    #[test]
    fn s3_no_error_quotes_a_word_of_the_settings() {
        const SECRET: &str = "hunter2";
        let pieces = [
            SECRET,
            "=",
            "env",
            "=",
            " ",
            "timeout",
            "evn",
            "-",
            "user",
            "when",
            "retries",
            "once",
            "10m",
            ":",
            "\u{202e}",
            "delete-after-success",
            "DB_PASSWORD",
            "PATH",
            "\"",
            "'",
            "\t",
            "#",
            "retry-delay",
            "3",
            "\u{a0}",
            "\\",
        ];
        let mut random = fastrand::Rng::with_seed(12);
        let mut errors = 0;
        for _ in 0..20_000 {
            let mut line = String::new();
            for _ in 0..random.usize(1..10) {
                line.push_str(random.choice(pieces).unwrap_or_default());
            }
            let places: Vec<_> = line.char_indices().map(|(at, _)| at).collect();
            line.insert_str(random.choice(places).unwrap_or_default(), SECRET);
            let mark = random.choice(["scw-setup:", "scw-setup", "SCW_setup: env=A="]).unwrap_or_default();
            if let Err(why) = Header::parse(&format!("#!/bin/sh\n# {mark} {line}\n")) {
                errors += 1;
                assert!(!format!("{why} {why:?}").contains(SECRET), "{line:?}: {why}");
            }
        }
        assert!(errors > 6_000, "{errors}");
    }
}

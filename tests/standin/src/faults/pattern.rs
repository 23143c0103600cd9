//! The conditions of an order: path, address family, and which of the matching requests.

use std::fmt;
use std::net::SocketAddr;

use serde::Deserialize;

/// A path, or the beginning of a path followed by `*`. A pattern without `?` is compared with the path only, one with `?` with the
/// complete target.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PathPattern {
    start: String,
    is_prefix: bool,
}

impl PathPattern {
    pub(super) fn matches(&self, target: &str) -> bool {
        let path = target.split('?').next().unwrap_or_default();
        let subject = if self.start.contains('?') { target } else { path };
        if self.is_prefix { subject.starts_with(&self.start) } else { subject == self.start }
    }
}

impl Default for PathPattern {
    /// Every path.
    fn default() -> Self {
        PathPattern { start: String::new(), is_prefix: true }
    }
}

impl TryFrom<String> for PathPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (start, is_prefix) = match text.strip_suffix('*') {
            Some(start) => (start, true),
            None => (text.as_str(), false),
        };
        let is_everything = start.is_empty() && is_prefix;
        if start.contains('*') || !(is_everything || start.starts_with('/')) {
            return Err(format!("path {text:?} is neither `*` nor starts with `/`, or has a `*` inside"));
        }
        Ok(PathPattern { start: start.to_owned(), is_prefix })
    }
}

/// The address family of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    pub(crate) fn of(address: SocketAddr) -> Family {
        if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
    }
}

/// The matching requests to which an order applies, counted from 1: `"2"`, `"1-3"` or `"4-"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Nth {
    first: u64,
    last: Option<u64>,
}

impl Nth {
    pub(super) fn contains(self, count: u64) -> bool {
        self.first <= count && self.last.is_none_or(|last| count <= last)
    }
}

impl Default for Nth {
    /// All of them.
    fn default() -> Self {
        Nth { first: 1, last: None }
    }
}

impl TryFrom<String> for Nth {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = |part: &str| part.parse::<u64>().ok().filter(|n| *n > 0);
        let nth = match text.split_once('-') {
            None => number(&text).map(|n| Nth { first: n, last: Some(n) }),
            Some((first, "")) => number(first).map(|first| Nth { first, last: None }),
            Some((first, last)) => number(first)
                .zip(number(last))
                .filter(|(first, last)| first <= last)
                .map(|(first, last)| Nth { first, last: Some(last) }),
        };
        nth.ok_or_else(|| format!("nth {text:?} is not like \"2\", \"1-3\" or \"4-\""))
    }
}

impl fmt::Display for Nth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            Some(last) if last == self.first => write!(f, "{last}"),
            Some(last) => write!(f, "{}-{last}", self.first),
            None => write!(f, "{}-", self.first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_pattern_matches_exactly_or_by_its_beginning() {
        let table = [
            ("*", "/", true),
            ("*", "/user_data/x?y", true),
            ("/conf", "/conf", true),
            ("/conf", "/conf?format=json", true),
            ("/conf", "/confetti", false),
            ("/conf?format=json", "/conf", false),
            ("/conf?format=json", "/conf?format=json", true),
            ("/user_data/*", "/user_data/a", true),
            ("/user_data/*", "/user_data", false),
        ];
        for (pattern, target, expected) in table {
            let parsed = PathPattern::try_from(pattern.to_owned()).unwrap();
            assert_eq!(parsed.matches(target), expected, "{pattern} on {target}");
        }
    }

    #[test]
    fn invalid_path_pattern_is_refused() {
        for pattern in ["", "conf", "/a*b", "/a**"] {
            assert!(PathPattern::try_from(pattern.to_owned()).is_err(), "{pattern}");
        }
    }

    #[test]
    fn nth_is_a_number_a_range_or_an_open_range() {
        let table = [("2", [false, true, false, false]), ("1-3", [true, true, true, false])];
        let table = table.into_iter().chain([("3-", [false, false, true, true])]);
        for (text, expected) in table {
            let nth = Nth::try_from(text.to_owned()).unwrap();
            assert_eq!([1, 2, 3, 4].map(|count| nth.contains(count)), expected, "{text}");
            assert_eq!(nth.to_string(), text);
        }
        for text in ["", "0", "-", "-3", "3-1", "a", "1-2-3", " 1"] {
            assert!(Nth::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}

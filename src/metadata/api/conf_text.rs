//! The text form of `/conf`: lines `KEY=value`, as Scaleway's `scw-metadata` reads them. Pure.
//!
//! The text is only passed on, and searched for a key. What the program itself wants to know it reads from the JSON form, because the text
//! form does not say how a quote inside of a value is written.

use thiserror::Error;

/// A pattern for keys: a basic regular expression with `.`, `*` and `[…]`, which the pattern of the original command may have. It matches a
/// complete key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeyPattern(Vec<Item>);

/// The pattern has a character that is neither part of a key nor understood in a pattern. The text does not quote the pattern.
#[derive(Debug, PartialEq, Eq, Error)]
#[error(
    "a KEY has letters, digits, `_` and `-`, and may have `.`, `*` and `[…]` as in a basic regular expression"
)]
pub(crate) struct NotAKeyPattern;

/// One character of the key, or with `is_repeated` any number of them.
#[derive(Debug, PartialEq, Eq)]
struct Item {
    /// What the character may be: the first and last one of each range.
    ranges: Vec<(u8, u8)>,
    is_negated: bool,
    is_repeated: bool,
}

impl Item {
    fn accepts(&self, byte: u8) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&byte)) != self.is_negated
    }
}

impl KeyPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, NotAKeyPattern> {
        let mut items: Vec<Item> = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            let (ranges, is_negated) = match first {
                b'*' => {
                    items.last_mut().ok_or(NotAKeyPattern)?.is_repeated = true;
                    continue;
                }
                b'.' => (vec![(0, u8::MAX)], false),
                b'[' => {
                    let is_negated = rest.first() == Some(&b'^');
                    let set = &rest[usize::from(is_negated)..];
                    let length = set.iter().position(|byte| *byte == b']').ok_or(NotAKeyPattern)?;
                    rest = &set[length + 1..];
                    (ranges(&set[..length])?, is_negated)
                }
                byte if is_key_byte(*byte) => (vec![(*byte, *byte)], false),
                _ => return Err(NotAKeyPattern),
            };
            items.push(Item { ranges, is_negated, is_repeated: false });
        }
        if items.is_empty() { Err(NotAKeyPattern) } else { Ok(Self(items)) }
    }

    /// Whether the pattern matches the complete key. It follows all ways through the pattern at the same time.
    fn matches(&self, key: &[u8]) -> bool {
        let mut reached = vec![false; self.0.len() + 1];
        reached[0] = true;
        let skip_repeated = |reached: &mut Vec<bool>| {
            for (index, item) in self.0.iter().enumerate() {
                reached[index + 1] |= reached[index] && item.is_repeated;
            }
        };
        skip_repeated(&mut reached);
        for byte in key {
            let mut next = vec![false; reached.len()];
            for (index, item) in self.0.iter().enumerate() {
                if reached[index] && item.accepts(*byte) {
                    next[if item.is_repeated { index } else { index + 1 }] = true;
                }
            }
            skip_repeated(&mut next);
            reached = next;
        }
        reached[self.0.len()]
    }
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn ranges(set: &[u8]) -> Result<Vec<(u8, u8)>, NotAKeyPattern> {
    let mut ranges = Vec::new();
    let mut rest = set;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let mut last = first;
        if let [b'-', end, after @ ..] = rest {
            (last, rest) = (end, after);
        }
        if !is_key_byte(*first) || !is_key_byte(*last) {
            return Err(NotAKeyPattern);
        }
        ranges.push((*first, *last));
    }
    if ranges.is_empty() { Err(NotAKeyPattern) } else { Ok(ranges) }
}

/// The values of the keys that the pattern matches, in the order of the text. One quote at the beginning of a value and one at its end
/// are removed.
pub(crate) fn values<'a>(text: &'a [u8], pattern: &KeyPattern) -> Vec<&'a [u8]> {
    let value = |line: &'a [u8]| {
        let equals = line.iter().position(|byte| *byte == b'=')?;
        pattern.matches(&line[..equals]).then(|| without_quotes(&line[equals + 1..]))
    };
    text.split(|byte| *byte == b'\n').filter_map(value).collect()
}

fn without_quotes(value: &[u8]) -> &[u8] {
    let is_quote = |byte: &u8| matches!(byte, b'\'' | b'"');
    let value = if value.first().is_some_and(is_quote) { &value[1..] } else { value };
    if value.last().is_some_and(is_quote) { &value[..value.len() - 1] } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] =
        b"ID=daa2\nNAME='my machine'\nPRIVATE_IP=\nTAGS=2\nTAGS_0=a=b\nTAGS_1=\"it's\"\nVOLUMES='0 1'\n\
        VOLUMES_0_SIZE=20\nVOLUMES_10_SIZE=30\nno equals sign\nODD='\n";

    #[test]
    fn value_of_a_key_is_found_without_its_quotes() {
        for (key, expected) in [
            ("ID", &["daa2"][..]),
            ("NAME", &["my machine"]),
            ("PRIVATE_IP", &[""]),
            ("TAGS_0", &["a=b"]),
            ("TAGS_1", &["it's"]),
            ("ODD", &[""]),
            ("TAG", &[]),
            ("id", &[]),
            ("TAGS_.*", &["a=b", "it's"]),
            ("TAGS_[0-9]", &["a=b", "it's"]),
            ("VOLUMES_[0-9]*_SIZE", &["20", "30"]),
            ("VOLUMES_[^1]_SIZE", &["20"]),
            ("VOLUMES_._SIZE", &["20"]),
            ("I.*D*", &["daa2"]),
            (".*D", &["daa2", ""]),
        ] {
            let pattern = KeyPattern::parse(key).expect(key);
            let found: Vec<_> =
                values(TEXT, &pattern).into_iter().map(|value| String::from_utf8_lossy(value)).collect();
            assert_eq!(found, expected, "{key}");
        }
    }

    #[test]
    fn text_that_is_no_key_pattern_is_refused() {
        for text in ["", "*", "[", "[]", "[a", "[^]", "A B", "A=b", "(A)", "A\\|B", "^A", "A$", "Ä"] {
            assert_eq!(KeyPattern::parse(text), Err(NotAKeyPattern), "{text}");
        }
    }

    #[test]
    fn long_pattern_takes_no_exponential_time() {
        let pattern = KeyPattern::parse(&"A*".repeat(200)).expect("a pattern");
        assert!(pattern.matches(&[b'A'; 5000]) && !pattern.matches(b"AB"));
    }
}

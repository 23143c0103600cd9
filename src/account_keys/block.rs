//! The marked block with managed keys in a file of a person. Pure.
//!
//! Outside of the block, no byte changes. A block that somebody edited is that person's, and is neither read nor changed (invariant K1).

use thiserror::Error;

use crate::account_keys::managed_keys::{ManagedKeys, checksum};

const BEGIN: &[u8] = b"# BEGIN keys of scw-agent, which replaces the lines up to END ([ssh-keys] in /etc/scw-agent.toml). Checksum: ";
const END: &[u8] = b"# END keys of scw-agent\n";

/// Somebody edited the block, or there are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "its block of scw-agent was edited, or is there twice; remove the lines with BEGIN and END, and the keys between them are yours"
)]
pub(crate) struct EditedBlock;

/// A text, and the block in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TextWithBlock {
    before: Vec<u8>,
    /// The keys of the block; `None` if there is none.
    pub(crate) keys: Option<ManagedKeys>,
    after: Vec<u8>,
}

impl TextWithBlock {
    /// Finds the block.
    ///
    /// # Errors
    /// [`EditedBlock`]
    pub(crate) fn parse(text: &[u8]) -> Result<Self, EditedBlock> {
        let lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
        let positions = |mark: &[u8]| -> Vec<_> {
            (0..lines.len()).filter(|at| lines[*at].starts_with(mark.trim_ascii_end())).collect()
        };
        let (begin, end) = match (&*positions(BEGIN), &*positions(END)) {
            ([], []) => return Ok(Self { before: text.to_vec(), keys: None, after: Vec::new() }),
            ([begin], [end]) if begin < end && lines[*end] == END => (*begin, *end),
            _ => return Err(EditedBlock),
        };
        let block = std::str::from_utf8(&lines[begin + 1..end].concat()).map(str::to_owned);
        let block = block.map_err(|_| EditedBlock)?;
        if lines[begin] != begin_line(&block).as_bytes() {
            return Err(EditedBlock);
        }
        Ok(Self {
            before: lines[..begin].concat(),
            keys: Some(ManagedKeys::parse(&block)),
            after: lines[end + 1..].concat(),
        })
    }

    /// Whether a text has, or had, a block.
    pub(crate) fn is_marked(text: &str) -> bool {
        text.contains(&*String::from_utf8_lossy(BEGIN.trim_ascii_end()))
    }

    /// The text with these keys in the block; without a block if there are none. A new block is at the end.
    pub(crate) fn with(&self, keys: Option<&ManagedKeys>) -> Vec<u8> {
        let mut text = self.before.clone();
        if let Some(keys) = keys {
            if text.last().is_some_and(|byte| *byte != b'\n') {
                text.push(b'\n');
            }
            let block = keys.lines();
            text.extend_from_slice(begin_line(&block).as_bytes());
            text.extend_from_slice(block.as_bytes());
            text.extend_from_slice(END);
        }
        text.extend_from_slice(&self.after);
        text
    }

    /// The lines of persons.
    pub(crate) fn outside(&self) -> String {
        String::from_utf8_lossy(&[&*self.before, &*self.after].concat()).into_owned()
    }
}

fn begin_line(block: &str) -> String {
    format!("{}{}\n", String::from_utf8_lossy(BEGIN), checksum(block))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account_keys::key_line::tests::line;
    use crate::account_keys::key_sources::KeySource;
    use crate::account_keys::managed_keys::ManagedKey;

    fn keys(numbers: &[u8]) -> ManagedKeys {
        let key = |number: &u8| ManagedKey { line: line(*number), source: Some(KeySource::Account) };
        let instance = "11111111-1111-4111-8111-111111111111".to_owned();
        ManagedKeys {
            instance: instance.try_into().ok(),
            keys: numbers.iter().map(key).collect(),
            ..ManagedKeys::default()
        }
    }

    fn parse(text: &[u8]) -> TextWithBlock {
        TextWithBlock::parse(text).expect("not edited")
    }

    #[test]
    fn k1_nothing_outside_of_the_block_changes() {
        for before in ["", "# mine\n\n  ssh-rsa x\r\n\u{fffd}", "one\n"] {
            let mut before = before.as_bytes().to_vec();
            before.extend_from_slice(b"\xff\x00 no text");
            let text = parse(&before).with(Some(&keys(&[1, 2])));
            assert!(text.starts_with(&[&*before, b"\n"].concat()));
            let mut text = text;
            text.extend_from_slice(b"after\xfe");
            let read = parse(&text);
            assert_eq!(read.keys, Some(keys(&[1, 2])));
            assert_eq!(read.with(Some(&keys(&[1, 2]))), text, "the same keys");
            let changed = read.with(Some(&keys(&[3])));
            assert_eq!(parse(&changed).keys, Some(keys(&[3])));
            let removed = parse(&changed).with(None);
            assert_eq!(removed, [&*before, b"\n", b"after\xfe"].concat());
        }
        assert_eq!(parse(b"").with(None), b"");
    }

    #[test]
    fn k1_edited_block_is_a_persons() {
        let text = String::from_utf8(parse(b"").with(Some(&keys(&[1])))).expect("text");
        let key = line(1).text();
        for edited in [
            text.replace(&key, &format!("{key} x")),
            text.replace(&key, &format!("{key}\n{}", line(2).text())),
            text.replace("# END", "# Fin"),
            text.replace("# BEGIN", "# Begin"),
            text.replace('\n', "\r\n"),
            text.trim_end().to_owned(),
            format!("{text}{text}"),
            text.replace("Checksum: ", "Checksum: 0"),
        ] {
            assert_eq!(TextWithBlock::parse(edited.as_bytes()), Err(EditedBlock), "{edited}");
        }
    }
}

//! The marked block in a known_hosts file. All other lines stay as they are, byte by byte. Pure.
//!
//! A line of the block is `NAMES TYPE KEY scw:ID`. The lines of an Instance are replaced together. A name belongs to one
//! Instance: it is taken out of the lines of others.

const BEGIN: &str = "# scw-known-hosts: begin; written by `scw-known-hosts write`";
const END: &str = "# scw-known-hosts: end";

/// What comes before the id in the last field.
const MARK: &str = "scw:";

/// The keys of one Instance.
pub struct Keys {
    /// Its id.
    pub id: String,
    /// Its names, as known_hosts has them: `[name]:port` if the port is not 22.
    pub names: Vec<String>,
    /// Type and key in base64.
    pub keys: Vec<(String, String)>,
}

/// Why the file cannot be changed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: the block that begins here has no end; delete this line")]
pub struct NoEnd {
    /// The line, from 1.
    pub line: usize,
}

/// The content with these keys in the block, which is made at the end if there is none. Lines in the block that are not of this
/// program stay as they are, too.
pub fn with_keys<'a>(content: &[u8], all: impl IntoIterator<Item = &'a Keys>) -> Result<Vec<u8>, NoEnd> {
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    let (before, block, after) = split(&lines)?;
    let mut block: Vec<Vec<u8>> = block.iter().map(|line| line.to_vec()).collect();
    for Keys { id, names, keys } in all {
        block = block.iter().filter_map(|line| without(line, id, names)).collect();
        let names = names.join(",");
        block
            .extend(keys.iter().map(|(kind, key)| format!("{names} {kind} {key} {MARK}{id}\n").into_bytes()));
    }
    let mut new: Vec<u8> = before.concat();
    if new.last().is_some_and(|byte| *byte != b'\n') {
        new.push(b'\n');
    }
    new.extend(format!("{BEGIN}\n").into_bytes());
    new.extend(block.concat());
    new.extend(format!("{END}\n").into_bytes());
    new.extend(after.concat());
    Ok(new)
}

/// The keys that the block has for an Instance: type and key in base64.
pub fn keys_of(content: &[u8], id: &str) -> Vec<(String, String)> {
    own_lines(content, id).into_iter().map(|[_, kind, key]| (kind, key)).collect()
}

/// The names that the block has for an Instance.
pub fn names_of(content: &[u8], id: &str) -> Vec<String> {
    let names = own_lines(content, id).into_iter().map(|[names, ..]| names);
    names.flat_map(|names| names.split(',').map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Names, type and key of each line that the block has for an Instance.
fn own_lines(content: &[u8], id: &str) -> Vec<[String; 3]> {
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    let Ok((_, own, _)) = split(&lines) else { return Vec::new() };
    let of_instance = |line: &&[u8]| {
        let ([names, kind, key], of) = own_fields(line)?;
        (of == id).then(|| [names, kind, key].map(str::to_owned))
    };
    own.iter().filter_map(of_instance).collect()
}

/// Names, type, key and id of a line that this program wrote; `None` for another line.
fn own_fields(line: &[u8]) -> Option<([&str; 3], &str)> {
    let line = std::str::from_utf8(line).ok()?.trim_end_matches(['\n', '\r']);
    let [names, kind, key, mark] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
    Some(([names, kind, key], mark.strip_prefix(MARK)?))
}

/// The numbers of the lines outside of the block that have one of these names with a key that is not among these.
pub fn stale_lines(content: &[u8], keys: &Keys) -> Vec<usize> {
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    let Ok((before, own, _)) = split(&lines) else { return Vec::new() };
    let is_own =
        |index: usize| (before.len()..before.len() + own.len() + 2).contains(&index) && !own.is_empty();
    let is_stale = |line: &[u8]| {
        let text = String::from_utf8_lossy(line);
        let mut fields = text.split_ascii_whitespace();
        let (Some(names), Some(_), Some(key)) = (fields.next(), fields.next(), fields.next()) else {
            return false;
        };
        let has_name = names.split(',').any(|name| keys.names.iter().any(|other| other == name));
        has_name && keys.keys.iter().all(|(_, other)| other != key)
    };
    let numbered = lines.iter().enumerate().filter(|(index, line)| !is_own(*index) && is_stale(line));
    numbered.map(|(index, _)| index + 1).collect()
}

type Parts<'a> = (&'a [&'a [u8]], &'a [&'a [u8]], &'a [&'a [u8]]);

/// The lines before the block, in it, and after it.
fn split<'a>(lines: &'a [&'a [u8]]) -> Result<Parts<'a>, NoEnd> {
    let is = |line: &[u8], mark: &str| line.trim_ascii() == mark.as_bytes();
    let Some(begin) = lines.iter().position(|line| is(line, BEGIN)) else {
        return Ok((lines, &[], &[]));
    };
    let (before, rest) = lines.split_at(begin);
    let end = rest.iter().position(|line| is(line, END)).ok_or(NoEnd { line: begin + 1 })?;
    if rest[1..end].iter().any(|line| is(line, BEGIN)) {
        return Err(NoEnd { line: begin + 1 });
    }
    Ok((before, &rest[1..end], &rest[end + 1..]))
}

/// A line of the block without these names; `None` if it has no other, or is one of this Instance. Lines that this program did not
/// write stay.
fn without(line: &[u8], id: &str, names: &[String]) -> Option<Vec<u8>> {
    let Some(([old, kind, key], of)) = own_fields(line) else { return Some(line.to_vec()) };
    let left: Vec<_> = old.split(',').filter(|name| names.iter().all(|other| other != name)).collect();
    (of != id && !left.is_empty())
        .then(|| format!("{} {kind} {key} {MARK}{of}\n", left.join(",")).into_bytes())
}

/// A name as known_hosts has it.
pub fn name_with_port(name: &str, port: u16) -> Option<String> {
    let is_literal = !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':'));
    is_literal.then(|| if port == 22 { name.to_owned() } else { format!("[{name}]:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(id: &str, names: &[&str], keys: &[&str]) -> Keys {
        Keys {
            id: id.to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            keys: keys.iter().map(|key| ("ssh-ed25519".to_owned(), (*key).to_owned())).collect(),
        }
    }

    fn text(content: &[u8], all: &[Keys]) -> String {
        String::from_utf8(with_keys(content, all).expect("content")).expect("text")
    }

    #[test]
    fn other_lines_are_unchanged() {
        let before = b"github.com ssh-rsa AAAA\n|1|hash= ssh-ed25519 AAAA\n\xff\xfe odd";
        let new = with_keys(before, &[keys("a", &["web"], &["K"])]).expect("content");
        assert!(new.starts_with(before));
        let again = with_keys(&new, &[keys("a", &["web"], &["K"])]).expect("content");
        assert_eq!(new, again);
        let with_more = [&new[..], b"later ssh-rsa AAAA\n"].concat();
        assert!(
            with_keys(&with_more, &[keys("b", &["db"], &["L"])])
                .expect("content")
                .ends_with(b"later ssh-rsa AAAA\n")
        );
    }

    #[test]
    fn new_keys_and_names_replace_old_ones() {
        let first =
            text(b"", &[keys("a", &["web", "192.0.2.1"], &["OLD"]), keys("b", &["db", "192.0.2.2"], &["K"])]);
        let second = text(first.as_bytes(), &[keys("a", &["web", "192.0.2.2"], &["NEW", "NEW2"])]);
        assert!(
            !second.contains("OLD") && second.contains("web,192.0.2.2 ssh-ed25519 NEW2 scw:a\n"),
            "{second}"
        );
        assert!(second.contains("\ndb ssh-ed25519 K scw:b\n"), "{second}");
    }

    #[test]
    fn keys_of_an_instance_are_read_back() {
        let content = text(
            b"x ssh-rsa OTHER scw:a\n",
            &[keys("a", &["web"], &["K", "L"]), keys("ab", &["db"], &["M"])],
        );
        let found: Vec<_> = keys_of(content.as_bytes(), "a").into_iter().map(|(_, key)| key).collect();
        assert_eq!(found, ["K", "L"]);
    }

    #[test]
    fn block_without_an_end_is_an_error() {
        for content in [format!("a\n{BEGIN}\nb\n"), format!("a\n{BEGIN}\nb\n{BEGIN}\n{END}\n")] {
            assert_eq!(with_keys(content.as_bytes(), &[]), Err(NoEnd { line: 2 }));
        }
    }

    #[test]
    fn foreign_lines_in_the_block_are_unchanged() {
        let first = text(b"", &[keys("a", &["web", "192.0.2.1"], &["K"])]);
        let foreign =
            "# note\n\ngithub.com\tssh-ed25519\tAAAA\n192.0.2.1 ssh-rsa AAAA\n192.0.2.1,nas ssh-rsa AAAA x\n";
        let mixed = first.replace(END, &format!("{foreign}{END}"));
        let second = text(mixed.as_bytes(), &[keys("b", &["192.0.2.1"], &["L"])]);
        assert!(second.contains(foreign) && second.contains("\nweb ssh-ed25519 K scw:a\n"), "{second}");
    }

    #[test]
    fn stale_lines_outside_of_the_block_are_found() {
        let new = text(
            b"web ssh-rsa OLD\nweb ssh-ed25519 K\n# web\nother ssh-rsa X\n",
            &[keys("a", &["web"], &["K"])],
        );
        assert_eq!(stale_lines(new.as_bytes(), &keys("a", &["web"], &["K"])), [1]);
        assert_eq!(stale_lines(b"web ssh-rsa OLD\n", &keys("a", &["web"], &["K"])), [1]);
    }

    #[test]
    fn names_have_their_port() {
        for (name, port, expected) in [
            ("web", 22, Some("web")),
            ("2001:db8::1", 2222, Some("[2001:db8::1]:2222")),
            ("a b", 22, None),
            ("*", 22, None),
            ("", 22, None),
        ] {
            assert_eq!(name_with_port(name, port).as_deref(), expected, "{name}");
        }
    }
}
